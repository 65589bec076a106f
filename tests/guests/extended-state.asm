; SPDX-License-Identifier: Apache-2.0
; All the state that a processor has and no memory shows: it begins in its initial values, whoever ran before,
; and stays as this guest leaves it, whoever runs in between. The first letter of the command line makes the
; values; `b` does without AVX.
%include "lib.inc"
kArea    equ kFree                  ; XSAVE areas, 64-byte aligned
kBefore  equ kArea
kNow     equ kArea + 4096
kLegacy  equ 464                    ; bytes of the legacy area that mean something
kYmm     equ 576                    ; upper halves in the standard form
kChecks  equ 25                     ; a second

%macro pattern 2                    ; register, number: a value of this guest's, canonical as an address
    mov %1, %2 * 0x0000_0101_0305_0711
    add %1, [own]
    shl %1, 17
    shr %1, 17
%endmacro
%macro is 2                         ; value, "text": rax is that, or it is said
    cmp rax, %1
    must je, {"extended-state: ", %2}
%endmacro
%macro for_each_msr 1               ; those that neither change by themselves nor need more than an address
%assign n 1
%rep 6
    mov ecx, %[msr_ %+ n]
    %1 n
%assign n n + 1
%endrep
%endmacro
%define msr_1 0xc0000082            ; LSTAR
%define msr_2 0xc0000083            ; CSTAR
%define msr_3 0xc0000102            ; KERNEL_GS_BASE
%define msr_4 0x175                 ; SYSENTER_ESP
%define msr_5 0x176                 ; SYSENTER_EIP
%define msr_6 0xc0000100            ; FS_BASE
%macro msr_is_zero 1
    rdmsr
    shl rdx, 32
    or rax, rdx
    is 0, "an MSR that nobody has written is not 0"
%endmacro
%macro msr_write 1
    pattern rax, %1
    mov rdx, rax
    shr rdx, 32
    wrmsr
%endmacro
%macro msr_is_own 1
    rdmsr
    shl rdx, 32
    or rax, rdx
    pattern rbx, %1
    is rbx, "an MSR is not what was written"
%endmacro

main:
    ; -- as a processor begins
    fnstenv [kNow]
    movzx eax, word [kNow + 4]
    is 0, "x87: status"
    movzx eax, word [kNow + 8]
    is 0xffff, "x87: tags"
    mov eax, [kNow + 12]
    is 0, "x87: instruction pointer"
    mov eax, [kNow + 16]
    and eax, 0x07ffffff             ; with the selector's place and the opcode
    is 0, "x87: opcode"
    mov eax, [kNow + 20]
    is 0, "x87: data pointer"
    fninit
    mov edi, kArea
    mov ecx, 8192 / 8
    xor eax, eax
    rep stosq
    fxsave64 [kNow]
    mov eax, [kNow + 24]
    is 0x1f80, "MXCSR"
    mov esi, kNow + 32
    mov ecx, (8 * 16 + 16 * 16) / 8
    call or_all
    is 0, "ST or XMM"
    call enable_avx
    cmp dword [features], 7
    jne .no_avx
    call save
    mov esi, kNow + kYmm
    mov ecx, 256 / 8
    call or_all
    is 0, "YMM, upper halves"
.no_avx:
%assign n 0
%rep 4
    mov rax, dr %+ n
    is 0, "a debug register"
%assign n n + 1
%endrep
    mov rax, dr6
    mov ecx, 0xffff0ff0
    is rcx, "DR6"
    mov rax, dr7
    is 0x400, "DR7"
    mov rax, cr2
    is 0, "CR2"
    mov rax, cr8
    is 0, "CR8"
    for_each_msr msr_is_zero
    mov eax, 0x80000001
    cpuid
    bt edx, 27
    jnc .no_rdtscp
    rdtscp
    mov eax, ecx
    is 0, "TSC_AUX"
.no_rdtscp:
    cmp qword [failures], 0
    jne .end

    ; -- everything this guest's own
    movzx eax, byte [variant]
    mov rcx, 0x0101010101010101
    imul rax, rcx
    mov [own], rax
    call fill
    say "extended-state: XCR0 "
    mov eax, [features]
    call print_dec
    call newline
    xor r12d, r12d
.second:
    mov r14d, kChecks
.check:
    mov eax, 1000 / kChecks
    call wait_ms
    call check
    cmp qword [failures], 0
    jne .end
    dec r14d
    jnz .check
    inc r12
    say "extended-state "
    mov rax, r12
    call print_dec
    call newline
    jmp .second
.end:
    finish "extended-state"
    ret

or_all:                             ; rsi, rcx quadwords: rax = all of them together
    xor eax, eax
.next:
    or rax, [rsi]
    add rsi, 8
    loop .next
    ret

enable_avx:                         ; [features] = XCR0, 0 without XSAVE
    mov dword [features], 0
    mov eax, 1
    cpuid
    bt ecx, 26
    jnc .done
    mov rax, cr4
    or eax, 1 << 18                 ; OSXSAVE
    mov cr4, rax
    push rcx
    xor ecx, ecx
    xgetbv
    is 1, "XCR0"
    pop rcx
    mov eax, 3
    bt ecx, 28                      ; AVX
    jnc .set
    cmp byte [variant], 'b'
    je .set
    mov eax, 7
.set:
    mov [features], eax
    xor ecx, ecx
    xor edx, edx
    xsetbv
.done:
    ret

save:                               ; into kNow
    mov eax, [features]
    test eax, eax
    jz .legacy
    xor edx, edx
    xsave64 [kNow]
    ret
.legacy:
    fxsave64 [kNow]
    ret

fill:
    fninit
%assign n 0
%rep 8
    pattern rax, 40 + n
    mov [number], rax
    fild qword [number]
%assign n n + 1
%endrep
    movzx eax, byte [variant]
    and eax, 3
    shl eax, 10
    or eax, 0x037f
    mov [number], rax
    fldcw [number]                  ; rounding
    movzx eax, byte [variant]
    and eax, 3
    shl eax, 13
    or eax, 0x1fa1
    mov [number], rax
    ldmxcsr [number]
%assign n 0
%rep 16
    pattern rax, 50 + n
    movq xmm %+ n, rax
    punpcklqdq xmm %+ n, xmm %+ n
%assign n n + 1
%endrep
    cmp dword [features], 7
    jne .no_avx
%assign n 0
%rep 16
    vinsertf128 ymm %+ n, ymm %+ n, xmm %+ n, 1
%assign n n + 1
%endrep
.no_avx:
%assign n 0
%rep 4
    pattern rax, 20 + n
    mov dr %+ n, rax
%assign n n + 1
%endrep
    pattern rax, 30
    mov cr2, rax
    movzx eax, byte [variant]
    and eax, 15
    mov cr8, rax
    for_each_msr msr_write
    call save
    mov esi, kNow
    mov edi, kBefore
    mov ecx, 4096 / 8
    rep movsq
    ret

check:
    call save
    mov esi, kNow
    mov edi, kBefore
    mov ecx, kLegacy
    repe cmpsb
    must je, "extended-state: x87 or SSE has changed"
    mov esi, kNow + kYmm
    mov edi, kBefore + kYmm
    mov ecx, 256
    repe cmpsb
    must je, "extended-state: AVX has changed"
    cmp dword [features], 0
    je .no_xsave
    xor ecx, ecx
    xgetbv
    mov ecx, [features]
    is rcx, "XCR0 has changed"
.no_xsave:
%assign n 0
%rep 4
    pattern rbx, 20 + n
    mov rax, dr %+ n
    is rbx, "a debug register has changed"
%assign n n + 1
%endrep
    pattern rbx, 30
    mov rax, cr2
    is rbx, "CR2 has changed"
    movzx ebx, byte [variant]
    and ebx, 15
    mov rax, cr8
    is rbx, "CR8 has changed"
    for_each_msr msr_is_own
    ret

section .bss
alignb 8
own: resq 1
number: resq 1
features: resd 1
