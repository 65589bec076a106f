# SPDX-License-Identifier: Apache-2.0
# From SIPI to 64-bit mode. smp.cpp copies this to BootInfo.ap_trampoline, a page below 1 MiB, and fills in the block at
# its end. Runs at any page: what depends on the address is in the block. Under tables that map the page one to one and
# the hypervisor's upper half (smp.cpp), whose root lies below 4 GiB because 32-bit code loads it.
.section .rodata.ap_trampoline, "a"
.globl ap_trampoline, ap_trampoline_end
.globl ap_trampoline_code32, ap_trampoline_code64, ap_trampoline_gdt, ap_trampoline_block
.balign 16
.code16
ap_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx                                       # linear address of the page
    lgdtl block_gdt - ap_trampoline
    movl %cr0, %eax
    orl $1, %eax                                        # PE
    movl %eax, %cr0
    ljmpl *(block_far32 - ap_trampoline)

.code32
ap_trampoline_code32:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr4, %eax
    orl $0x20, %eax                                     # PAE
    movl %eax, %cr4
    movl block_low_root - ap_trampoline(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                              # EFER: LME and NXE; the upper half has no-execute entries
    movl $0x900, %eax
    xorl %edx, %edx
    wrmsr
    movl block_cr0 - ap_trampoline(%ebx), %eax          # PG, and caching on again after INIT
    movl %eax, %cr0
    ljmpl *(block_far64 - ap_trampoline)(%ebx)

.code64
ap_trampoline_code64:
    movl %ebx, %ebx
    movq block_stack - ap_trampoline(%rbx), %rsp
    movq block_cpu - ap_trampoline(%rbx), %rdi
    movq block_root - ap_trampoline(%rbx), %rsi
    movq block_entry - ap_trampoline(%rbx), %rax
    xorl %ebp, %ebp
    jmp *%rax

.balign 16
ap_trampoline_gdt:
    .quad 0
    .quad 0x00209b0000000000                            # 08: 64-bit code
    .quad 0x00cf93000000ffff                            # 10: data
    .quad 0x00cf9b000000ffff                            # 18: 32-bit code
ap_trampoline_gdt_end:

# struct ApBlock of smp.cpp
.balign 16
ap_trampoline_block:
block_stack:    .quad 0
block_cpu:      .quad 0
block_root:     .quad 0
block_entry:    .quad 0
block_low_root: .long 0
block_cr0:      .long 0
block_far32:    .long 0
                .word 0x18
                .word 0
block_far64:    .long 0
                .word 0x08
                .word 0
block_gdt:      .word ap_trampoline_gdt_end - ap_trampoline_gdt - 1
                .long 0
                .word 0
ap_trampoline_end:

.section .text.ap_entry, "ax"
# RDI: CpuLocal*, RSI: the hypervisor's root table. The stack is mapped in both.
.globl hv_ap_entry
.type hv_ap_entry, @function
hv_ap_entry:
    movq %rsi, %cr3
    call hv_ap_start
    ud2
.size hv_ap_entry, . - hv_ap_entry

.section .note.GNU-stack, "", @progbits
