// SPDX-License-Identifier: Apache-2.0
// Where a processor starts: CS.base is not 0.
    .code16
    .globl _start
_start:
    mov $0x1234, %ax
    mov $0x8000, %bx
    call sub
    nop
    jmp _start
sub:
    push %bp
    pop %bp
    ret
