// SPDX-License-Identifier: Apache-2.0
// Into the guest and back. The VMCS carries RSP, RIP, RFLAGS, segments and control registers; the fifteen other
// general registers are ours. This path is in every exit: count instructions before adding one.
//
//   stack while the guest runs:   [host RSP] -> gprs, r15 r14 r13 r12 rbx rbp, return address

#define VMCS_HOST_RSP 0x6c14
#define GPR(index) ((index) * 8)

        .text
        .globl hv_vmx_world_switch
        .type hv_vmx_world_switch, @function
// SwitchResult hv_vmx_world_switch(u64* gprs /* rdi */, SwitchState* state /* rsi */)
hv_vmx_world_switch:
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rdi
        cmpq    %rsp, (%rsi)
        jne     .Lnew_stack
.Lload:
        cmpb    $0, 8(%rsi)             // MOV keeps the flags until the jump
        movq    GPR(0)(%rdi), %rax
        movq    GPR(1)(%rdi), %rcx
        movq    GPR(2)(%rdi), %rdx
        movq    GPR(3)(%rdi), %rbx
        movq    GPR(5)(%rdi), %rbp
        movq    GPR(6)(%rdi), %rsi
        movq    GPR(8)(%rdi), %r8
        movq    GPR(9)(%rdi), %r9
        movq    GPR(10)(%rdi), %r10
        movq    GPR(11)(%rdi), %r11
        movq    GPR(12)(%rdi), %r12
        movq    GPR(13)(%rdi), %r13
        movq    GPR(14)(%rdi), %r14
        movq    GPR(15)(%rdi), %r15
        movq    GPR(7)(%rdi), %rdi
        je      .Llaunch
        vmresume
        jmp     .Lfailed
.Llaunch:
        vmlaunch
.Lfailed:                               // CF: no current VMCS; ZF: the error number is in it
        movl    $1, %eax
        movl    $2, %ecx
        cmovz   %ecx, %eax
        popq    %rdi
        jmp     .Lreturn

        .globl hv_vmx_exit_entry
        .type hv_vmx_exit_entry, @function
hv_vmx_exit_entry:
        pushq   %rdi
        movq    8(%rsp), %rdi
        movq    %rax, GPR(0)(%rdi)
        movq    %rcx, GPR(1)(%rdi)
        movq    %rdx, GPR(2)(%rdi)
        movq    %rbx, GPR(3)(%rdi)
        movq    %rbp, GPR(5)(%rdi)
        movq    %rsi, GPR(6)(%rdi)
        popq    GPR(7)(%rdi)
        movq    %r8, GPR(8)(%rdi)
        movq    %r9, GPR(9)(%rdi)
        movq    %r10, GPR(10)(%rdi)
        movq    %r11, GPR(11)(%rdi)
        movq    %r12, GPR(12)(%rdi)
        movq    %r13, GPR(13)(%rdi)
        movq    %r14, GPR(14)(%rdi)
        movq    %r15, GPR(15)(%rdi)
        popq    %rdi
        xorl    %eax, %eax
.Lreturn:
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret

.Lnew_stack:
        movl    $VMCS_HOST_RSP, %eax
        vmwrite %rsp, %rax
        jbe     .Lno_vmcs
        movq    %rsp, (%rsi)
        jmp     .Lload
.Lno_vmcs:
        movl    $1, %eax
        popq    %rdi
        jmp     .Lreturn
        .size hv_vmx_world_switch, . - hv_vmx_world_switch

        .section .note.GNU-stack, "", @progbits
