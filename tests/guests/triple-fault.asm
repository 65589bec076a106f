; SPDX-License-Identifier: Apache-2.0
; Ends itself the hard way. Variants: i = no IDT, c = page tables where no memory is, s = no stack to deliver on.
%include "lib.inc"
main:
    say "triple-fault: now", 13, 10
    cmp byte [variant], 'c'
    je .tables
    cmp byte [variant], 's'
    je .stack
    lidt [nothing]
    ud2
.tables:
    mov eax, 0x40000000
    mov cr3, rax
    jmp .after
.stack:
    mov rax, 0x0000700000000000     ; not mapped: delivering #UD faults, so does #DF
    mov [kExceptionStack], rax
    ud2
.after:
    say "FAIL still here", 13, 10
    ret
section .data
nothing: times 10 db 0
