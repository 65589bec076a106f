; SPDX-License-Identifier: Apache-2.0
; A guest that debugs itself: breakpoints on code and data, single steps, general detection, INT1. Whatever the
; hypervisor does with the processor's debug registers, this is what the guest must see.
%include "lib.inc"
kIdle   equ 0xffff0ff0
kBs     equ kIdle | 1 << 14
kBd     equ kIdle | 1 << 13

; breakpoints DR7: forgets what has been met, and writes DR6 and DR7
%macro breakpoints 1
    mov eax, %1
    call set_breakpoints
%endmacro
; met COUNT, "what": so many #DB since `breakpoints`
%macro met 2
    cmp qword [hits], %1
    must je, {%2, ": number of #DB"}
%endmacro
; hit INDEX, DR6, RIP, "what": what one of them said
%macro hit 4
    mov eax, %2
    cmp [hit_dr6 + %1 * 8], rax
    must je, {%4, ": DR6"}
    mov eax, %3
    cmp [hit_rip + %1 * 8], rax
    must je, {%4, ": RIP"}
%endmacro
%macro address 2                    ; number, where
    mov eax, %2
    mov dr%1, rax
%endmacro
; step COUNT: the handler clears TF at the COUNT-th #DB from here
%macro step 1
    mov dword [steps], %1
    pushfq
    or qword [rsp], 1 << 8
    popfq
%endmacro

main:
    mov eax, debug_exception
    mov [idt + 16], ax
    shr eax, 16
    mov [idt + 22], ax

    ; -- code
    address 0, .code
    breakpoints 1
    nop
.code:
    nop
    met 1, "code"
    hit 0, kIdle | 1, .code, "code"
    address 1, .exits
    breakpoints 1 << 3              ; G1
    xor eax, eax
.exits:
    cpuid                           ; RF lasts until it has been emulated
    met 1, "code that exits"
    hit 0, kIdle | 2, .exits, "code that exits"
    mov ecx, 3
    address 3, .again
    breakpoints 1 << 6
    mov ecx, 3
.again:
    loop .again
    met 3, "code in a loop"
    hit 2, kIdle | 8, .again, "code in a loop"

    ; -- data
    address 2, data
    breakpoints 1 << 4 | 0xd << 24  ; writes of 4 bytes
    mov eax, [data]
    met 0, "a read of data watched for writes"
    mov byte [data + 4], 1
    met 0, "a write beside"
    mov byte [data + 3], 1
.written:
    met 1, "a write"
    hit 0, kIdle | 4, .written, "a write"
    breakpoints 1 << 4 | 0xb << 24  ; accesses to 8 bytes
    mov al, [data + 7]
.read:
    met 1, "a read"
    hit 0, kIdle | 4, .read, "a read"
    address 3, data + 16
    breakpoints 1 << 4 | 1 << 6 | 0xb << 24 | 0x1 << 28
    mov esi, data
    mov edi, data + 16
    movsb
.both:
    met 1, "two at once"
    or qword [hit_dr6], 8           ; software QEMU reports the first only
    hit 0, kIdle | 12, .both, "two at once"
    breakpoints 0xb << 24 | 0x1 << 28
    mov esi, data
    mov edi, data + 16
    movsb
    met 0, "none enabled"
    breakpoints 1 << 4 | 0xb << 24
    mov rcx, rsp
    mov esp, kFree + 0x201000       ; never touched before: what hits also exits, for another reason
    push qword [data]
.pushed:
    mov rsp, rcx
    met 1, "a push to a new page"
    hit 0, kIdle | 4, .pushed, "a push to a new page"

    ; -- single steps
    breakpoints 0
    xor eax, eax
    mov edx, kCom1 + 5
    step 6
    nop
.s0:
    inc eax
.s1:
    cpuid
.s2:
    mov edx, kCom1 + 5
.s3:
    in al, dx
.s4:
    jmp .s5
    nop
.s5:
    nop
    met 6, "steps"
    hit 0, kBs, .s0, "a step"
    hit 1, kBs, .s1, "a step"
    hit 2, kBs, .s2, "a step over CPUID"
    hit 3, kBs, .s3, "a step"
    hit 4, kBs, .s4, "a step over IN"
    hit 5, kBs, .s5, "a step over JMP"
    address 0, data
    address 1, .next
    breakpoints 1 | 1 << 2 | 0x1 << 16
    step 2
    mov byte [data], 1              ; both at once; what stands before the next instruction comes alone
.next:
    nop
    met 2, "a step with a hit"
    and qword [hit_dr6], ~2         ; some report what comes next as well
    hit 0, kBs | 1, .next, "a step with a hit"
    hit 1, kIdle | 2, .next, "code behind a step"
    address 1, .loaded
    breakpoints 1 << 2
    step 2
    nop
.loaded:
    cpuid
    met 2, "a step onto code"
    and qword [hit_dr6], ~2
    hit 0, kBs, .loaded, "a step onto code"
    hit 1, kIdle | 2, .loaded, "code behind a step"

    ; -- the registers themselves
    breakpoints 1 << 13             ; general detection
.detected:
    mov rbx, dr0
    met 1, "general detection"
    hit 0, kBd, .detected, "general detection"
    cmp rbx, data
    must je, "DR0 is not what was written"
    mov rax, dr7
    cmp rax, 0x400
    must je, "general detection is still on in the handler"
    breakpoints 1 << 13
    mov ecx, 0x400
.detected_write:
    mov dr7, rcx
    met 1, "general detection of a write"
    hit 0, kBd, .detected_write, "general detection of a write"
    mov eax, 0x0001dfff             ; all but general detection
    mov dr7, rax
    mov rax, dr5                    ; DR7 as long as CR4.DE is clear
    cmp rax, 0x00010fff
    must je, "reserved bits of DR7, through DR5"
    mov eax, 0x400
    mov dr5, rax
    mov eax, -1
    mov dr4, rax
    mov rax, dr6
    mov ecx, 0xffffefff
    cmp rax, rcx
    must je, "reserved bits of DR6, through DR4"
    mov rax, cr4
    or eax, 1 << 3
    mov cr4, rax
    must_fault 6, mov rax, dr4
    must_fault 6, mov dr5, rax
    mov rax, 1 << 32
    must_fault 13, mov dr7, rax
    must_fault 13, mov dr6, rax
    mov rax, 0x8000000000000000     ; DR0 to DR3 take any address
    must_run mov dr0, rax

    ; -- INT1
    breakpoints 0
    mov qword [last_vector], -1
    mov qword [resume], .int1
    db 0xf1
.int1:
    mov qword [resume], 0
    cmp qword [last_vector], 6
    jne .has_int1
    xor eax, eax
    cpuid
    cmp ecx, 'cAMD'                 ; software QEMU does not know it
    must je, "INT1 is no instruction"
    jmp .done
.has_int1:
    met 1, "INT1"
    hit 0, kIdle, .int1, "INT1"
    breakpoints 0
    step 2
    nop
    db 0xf1
.int1_stepped:
    nop
    met 2, "INT1 in a step"
    cmp qword [hit_rip + 8], .int1_stepped
    must je, "INT1 in a step: RIP"
.done:
    breakpoints 0
    finish "debug-registers"
    ret

set_breakpoints:                    ; eax = DR7
    mov qword [hits], 0
    mov rcx, kIdle
    mov dr6, rcx
    mov dr7, rax
    ret

align 16
debug_exception:
    push rax
    push rcx
    mov rcx, [hits]
    and ecx, 7
    mov rax, [rsp + 16]
    mov [hit_rip + rcx * 8], rax
    mov rax, dr6
    mov [hit_dr6 + rcx * 8], rax
    inc qword [hits]
    test ah, 1 << 6
    jnz .trap
    or dword [rsp + 32], 1 << 16    ; RF: not the same breakpoint again
.trap:
    mov eax, kIdle
    mov dr6, rax
    dec dword [steps]
    jg .step
    and dword [rsp + 32], ~(1 << 8)
.step:
    pop rcx
    pop rax
    iretq

section .bss
alignb 64
data: resb 64
hits: resq 1
steps: resd 1
alignb 8
hit_dr6: resq 8
hit_rip: resq 8
