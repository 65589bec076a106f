// SPDX-License-Identifier: Apache-2.0
// What the fake machine runs: a loop that calls a function with a frame, which writes a variable. Only
// instructions the machine knows. WORD is 64, 32 or 16.
#if WORD == 64
#define AX %rax
#define BX %rbx
#define BP %rbp
#define SP %rsp
#define BYTES 8
#define FRAME 6
#define STACK 7
#else
#define AX %eax
#define BX %ebx
#define BP %ebp
#define SP %esp
#define BYTES 4
#define FRAME 5
#define STACK 4
#endif
    .text
    .globl _start
_start:
    mov $0, %ebx
again:
#if WORD == 64
    inc BX
#else
    .byte 0xff, 0xc3 // inc, as the machine knows it
#endif
    mov $5, %edi
    call work
    nop
    jmp again

    .type work, @function
work:
    .cfi_startproc
    push BP
    .cfi_def_cfa_offset 2 * BYTES
    .cfi_offset FRAME, -2 * BYTES
    mov SP, BP
    .cfi_def_cfa_register FRAME
    mov %ebx, %eax
    mov %eax, counter
    call inner
    mov $7, %eax
    pop BP
    .cfi_def_cfa STACK, BYTES
    ret
    .cfi_endproc
    .size work, .-work

    .type inner, @function
inner:
    .cfi_startproc
    nop
    nop
    ret
    .cfi_endproc
    .size inner, .-inner

    .globl crash
    .type crash, @function
crash:
    nop
    ud2
    .size crash, .-crash
    .globl end
    .type end, @function
end:
    nop
    hlt
    .size end, .-end

    .globl counter
    .balign 8
counter:
    .long 0
