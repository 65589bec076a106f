# SPDX-License-Identifier: Apache-2.0
# The 256 entries of the IDT. Each brings the stack into the shape of TrapFrame and meets the others in exception_common.
# Vectors with an error code of the processor's: SDM vol 3A, table "Exceptions and Interrupts".
.section .text.exceptions, "ax"
.globl exception_entries
.type exception_entries, @function
.balign 16
exception_entries:
.set vector, 0
.rept 32
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        pushq $0
    .endif
    pushq $vector
    jmp exception_common
    .set vector, vector + 1
.endr
.size exception_entries, . - exception_entries

# Interrupts, in four bytes each: seven vectors share a far jump, in 32 bytes. PUSH extends the sign; the common part cuts
# it off again.
.globl interrupt_entries
.type interrupt_entries, @function
.balign 32
interrupt_entries:
.rept 32
    .balign 32
    .rept 7
        .byte 0x6a, vector & 0xff # pushq
        .if (vector - 32) % 7 != 6
            .byte 0xeb, 22 - ((vector - 32) % 7) * 4 # jmp to the far jump, at 26
        .endif
        .set vector, vector + 1
    .endr
    jmp interrupt_common
.endr
.size interrupt_entries, . - interrupt_entries

.type interrupt_common, @function
interrupt_common:
    pushq (%rsp)
    movq $0, 8(%rsp)
    andq $0xff, (%rsp)
    jmp exception_common
.size interrupt_common, . - interrupt_common

.type exception_common, @function
exception_common:
    cld
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    call hv_handle_trap # RBP is still the interrupted function's: traces go on there
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq
.size exception_common, . - exception_common

# void hv_wait_for_work(Cpu*): halts unless Cpu::kicked (offset 0) is set. An NMI that sets it after the look and before
# the HLT must not be slept over: the handler moves RIP out of the range below (README, "Kicks").
.globl hv_wait_for_work
.type hv_wait_for_work, @function
hv_wait_for_work:
    cmpl $0, (%rdi)
    jne .Lawake
    sti
    hlt
.Lawake:
    cli
    ret
.size hv_wait_for_work, . - hv_wait_for_work

.section .nmi_ranges, "a"
    .quad hv_wait_for_work, .Lawake, .Lawake

.section .note.GNU-stack, "", @progbits
