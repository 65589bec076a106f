; SPDX-License-Identifier: Apache-2.0
; The good neighbour: once a second it checks that its memory, its SSE registers and its TSC_AUX are as it left
; them.
%include "lib.inc"
kBytes equ 1 << 20
kTscAux equ 0x57ead7
main:
    mov rax, 0x5ca1ab1e0ddba115
    mov edi, kFree
    mov ecx, kBytes / 8
.fill:
    mov [rdi], rax
    add rax, rdi
    add edi, 8
    loop .fill
    movq xmm7, rax
    movq xmm0, rax
    punpcklqdq xmm0, xmm0
    xor r12d, r12d
    mov eax, 0x80000001
    cpuid
    mov r13d, edx
    bt r13d, 27                     ; RDTSCP
    jnc .second
    mov eax, kTscAux
    xor edx, edx
    mov ecx, 0xc0000103
    wrmsr
.second:
    mov eax, 1000
    call wait_ms
    inc r12
    mov rax, 0x5ca1ab1e0ddba115
    mov edi, kFree
    mov ecx, kBytes / 8
.look:
    cmp [rdi], rax
    jne .corrupt
    add rax, rdi
    add edi, 8
    loop .look
    movq rdx, xmm7
    cmp rdx, rax
    jne .corrupt
    movhlps xmm1, xmm0
    movq rdx, xmm1
    cmp rdx, rax
    jne .corrupt
    bt r13d, 27
    jnc .good
    rdtscp
    cmp ecx, kTscAux
    jne .corrupt
.good:
    say "steady "
    mov rax, r12
    call print_dec
    call newline
    jmp .second
.corrupt:
    say "steady CORRUPT", 13, 10
    ret
