// SPDX-License-Identifier: Apache-2.0
// Into the guest and back. The VMCS carries RSP, RIP, RFLAGS, segments and control registers; the fifteen other
// general registers are ours. This path is in every exit: count instructions before adding one.
//
//   stack while the guest runs:   [host RSP] -> gprs, r15 r14 r13 r12 rbx rbp, return address
//
// A kick must not be slept over: its NMI sets *VirtVcpu::kicked, whose address is GS base. Right before the entry it is
// looked at. One whose NMI comes before the look is seen by it; one between the look and the entry finds RIP in a range
// of .nmi_ranges, and the handler returns to .Lkicked (hv/init/README.md, "Kicks"); one during the entry or later is a
// VM exit. At .Lkicked only RSP counts: it is the same all over the range, the host's registers are on the stack, and
// the guest's, some of which may be in the processor already, are still in gprs as no instruction of it has run.

#define VMCS_HOST_RSP 0x6c14
#define VMCS_EXIT_REASON 0x4402
#define GPR(index) ((index) * 8)

// gprs in rdi, the cached host RSP at rsi
.macro enter_guest instruction
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rdi
        cmpq    %rsp, (%rsi)
        jne     2f
1:      movq    GPR(0)(%rdi), %rax
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
3:      cmpl    $0, %gs:0
        jne     .Lkicked
        \instruction
4:      jmp     .Lfailed
        .pushsection .nmi_ranges, "a"
        .quad   3b, 4b, .Lkicked
        .popsection
2:      movl    $VMCS_HOST_RSP, %eax
        vmwrite %rsp, %rax
        jbe     .Lfailed
        movq    %rsp, (%rsi)
        jmp     1b
.endm

        .text
        .globl hv_vmx_launch
        .type hv_vmx_launch, @function
hv_vmx_launch:
        enter_guest vmlaunch
        .size hv_vmx_launch, . - hv_vmx_launch

        .globl hv_vmx_resume
        .type hv_vmx_resume, @function
hv_vmx_resume:
        enter_guest vmresume
        .size hv_vmx_resume, . - hv_vmx_resume

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
        movl    $VMCS_EXIT_REASON, %eax
        vmread  %rax, %rax              // cannot fail: this VMCS is current, the field is everywhere
.Lreturn:
        popq    %rdi
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret
.Lfailed:                               // CF: no current VMCS (kVmFailInvalid); ZF: it holds the error (kVmFailValid)
        movl    $0xffffffff, %eax
        movl    $0xfffffffe, %ecx
        cmovz   %ecx, %eax
        jmp     .Lreturn
.Lkicked:
        movl    $0xfffffffd, %eax       // kKicked
        jmp     .Lreturn
        .size hv_vmx_exit_entry, . - hv_vmx_exit_entry

        .section .note.GNU-stack, "", @progbits
