; SPDX-License-Identifier: Apache-2.0
; Every hypercall with every kind of bad input; then messages and signals of noise to the connections that exist.
%include "lib.inc"
%include "hyperv.inc"
main:
    ; before the interface is set up there are no hypercalls
    mov ecx, 0x5c
    mov edx, kInput
    call raw_vmcall
    cmp qword [last_vector], 6
    must je, "VMCALL before the set-up is not #UD"
    call raw_vmmcall
    cmp qword [last_vector], 6
    must je, "VMMCALL before the set-up is not #UD"
    ; the page at addresses where no memory is
    mov ecx, 0x40000000
    mov eax, 0x12345678
    mov edx, 0x81000000
    must_run wrmsr
    mov ecx, 0x40000001
    xor edx, edx
    mov eax, 0x40000001             ; 1 GiB
    must_fault 13, wrmsr
    mov eax, 0xfee00001
    must_fault 13, wrmsr
    mov edx, 0x00ffffff
    must_fault 13, wrmsr
    call hyperv_setup
    call auto_eoi

    xor r12d, r12d
.code:
    mov r13d, 12
.variant:
    call random_input
    call random
    mov r14, rax
    mov rbx, rax
    shl rbx, 17                     ; noise in the control word's upper part, in half of the calls
    test r13d, 1
    jnz .noisy
    xor ebx, ebx
.noisy:
    mov ecx, r12d
    or rcx, rbx
    mov rdx, r14
    mov r8, r14
    ror r8, 21
    mov eax, r13d
    and eax, 3
    jmp [.kinds + rax * 8]
.in_memory:
    mov edx, kInput
    and r14d, 0xff8
    cmp r13d, 4
    ja .output
    or edx, r14d                    ; may cross the page
.output:
    mov r8d, kOutput
    jmp .call
.unaligned:
    mov edx, kInput
    and r14d, 0xfff
    or edx, r14d
    mov r8d, kOutput + 1
    jmp .call
.nowhere:
    and edx, 0x7ffffff8
    or edx, 0x80000000              ; [2 GiB, 4 GiB): nothing, devices
    mov r8, rdx
    jmp .call
.anything:
    or ecx, 1 << 16                 ; fast, or slow with a random address
    test r13d, 4
    jnz .call
    and rcx, ~(1 << 16)
.call:
    call hypercall
    inc qword [calls]
    dec r13d
    jnz .variant
    inc r12d
    cmp r12d, 0x100
    jne .not_yet
    mov r12d, 0x8000
.not_yet:
    cmp r12d, 0x8100
    jb .code
    say "hypercalls: all codes", 13, 10

    ; noise to VMBus: a good control word, a good connection, a message type that exists, nothing else
    mov r13d, 3000
.message:
    call random_input
    mov dword [kInput], 4
    test r13d, 7
    jnz .connection
    mov dword [kInput], 1
.connection:
    mov dword [kInput + 4], 0
    mov dword [kInput + 8], 1
    call random
    and eax, 0xff
    test r13d, 15
    jz .length
    and eax, 0x7f                   ; mostly the sizes that messages have
.length:
    mov [kInput + 12], eax
    call random
    mov ebx, eax
    and eax, 31
    mov [kInput + 16], eax
    shr ebx, 5
    and ebx, 7
    mov [kInput + 24], ebx          ; relid or version
    cmp eax, 14
    jne .post
    mov dword [kInput + 24], 0x50003
    mov dword [kInput + 28], 0
.post:
    mov ecx, 0x5c
    mov edx, kInput
    xor r8d, r8d
    call hypercall
    call random
    mov rdx, rax
    mov rcx, 0xffff0000ffff
    and rdx, rcx
    mov ecx, 0x1005d
    call hypercall
    test r13d, 3
    jnz .unread
    call drain_messages
.unread:
    dec r13d
    jnz .message
    say "hypercalls: noise posted", 13, 10

    ; the page is the guest's own: it may write there, and live with it
    mov edi, kHypercallPage
    mov byte [rdi], 0xc3
    call hypercall
    ; switched off, the instruction itself is #UD again
    mov ecx, 0x40000000
    xor eax, eax
    xor edx, edx
    must_run wrmsr
    mov ecx, 0x5c
    call raw_vmcall
    cmp qword [last_vector], 6
    must je, "VMCALL after the end is not #UD"
    call raw_vmmcall
    cmp qword [last_vector], 6
    must je, "VMMCALL after the end is not #UD"
    say "hypercalls: "
    mov rax, [calls]
    call print_dec
    say " calls", 13, 10
    finish "hypercalls"
    ret
align 8
.kinds: dq .in_memory, .unaligned, .nowhere, .anything
; A source whose interrupts end by themselves goes on interrupting: timer 0 sends its messages to SINT3, and no
; handler here ever writes EOI.
auto_eoi:
    mov ecx, 0x1b
    rdmsr
    or eax, 1 << 10                 ; x2APIC
    must_run wrmsr
    xor edx, edx
    mov ecx, 0x80f
    mov eax, 0x1ff
    must_run wrmsr
    mov ecx, 0x40000093
    mov eax, 1 << 17 | 0x60
    must_run wrmsr
    mov ecx, 0x400000b1
    mov eax, 10000                  ; every millisecond
    must_run wrmsr
    mov ecx, 0x400000b0
    mov eax, 3 << 16 | 3            ; SINT3, periodic, on
    must_run wrmsr
    sti
    mov ebx, 8
.beat:
    mov eax, 2
    call wait_ms
    mov dword [kMessagePage + 3 * 256], 0
    mov ecx, 0x40000084
    xor eax, eax
    xor edx, edx
    wrmsr
    dec ebx
    jnz .beat
    cli
    mov ecx, 0x400000b0
    wrmsr
    mov ecx, 0x40000093
    mov eax, 1 << 16
    wrmsr
    cmp qword [interrupts], 4
    must jae, "interrupts with automatic EOI stop"
    ret
random_input:
    push rdi
    push rcx
    mov edi, kInput
    mov ecx, 32
.next:
    call random
    stosq
    loop .next
    pop rcx
    pop rdi
    ret
section .bss
calls: resq 1
