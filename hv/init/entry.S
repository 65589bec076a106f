# SPDX-License-Identifier: Apache-2.0
# Where the loader jumps to (boot/handoff/boot_info.hpp says in which state), and the change to a guarded stack.
.section .text.entry, "ax"
.globl hv_entry
.type hv_entry, @function
hv_entry:
    cld
    xorl %ebp, %ebp # the outermost frame: traces end here
    call hv_main    # RDI: the record. RSP: the loader's stack, 16-byte aligned
    ud2
.size hv_entry, . - hv_entry

# void hv_continue_on(u64 stack_top, void (*next)()): leaves the present stack for good.
.globl hv_continue_on
.type hv_continue_on, @function
hv_continue_on:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    call *%rsi
    ud2
.size hv_continue_on, . - hv_continue_on

.section .note.GNU-stack, "", @progbits
