; SPDX-License-Identifier: Apache-2.0
; Exits as fast as it can, with interrupts off, for ever: whatever stops it comes in the middle of an exit.
%include "lib.inc"
kRound equ 100000
main:
    xor r12d, r12d
.round:
    mov r13d, kRound
.exit:
    xor eax, eax
    mov r14, r13
    mov r15, r12
    cpuid
    cmp r14, r13                        ; registers of another's would be a guest that a kick tore apart
    jne .corrupt
    cmp r15, r12
    jne .corrupt
    dec r13d
    jnz .exit
    inc r12
    say "storm "
    mov rax, r12
    call print_dec
    call newline
    jmp .round
.corrupt:
    say "storm CORRUPT", 13, 10
    ret
