// SPDX-License-Identifier: Apache-2.0
// VMRUN and what must surround it. Offsets: GuestGprs is 8 bytes a register in encoding order; 0x5f8 is RAX in
// the VMCB (hv/arch/vmcb.hpp asserts it).
.intel_syntax noprefix
.set VMCB_RAX, 0x5f8

.macro FUNCTION name
    .section .text.\name, "ax", @progbits
    .balign 16
    .globl \name
    .type \name, @function
\name:
.endm
.macro END_FUNCTION name
    .size \name, . - \name
.endm

// u32 hv_svm_world_switch(GuestGprs* rdi, Vmcb* rsi, u64 vmcb_at rdx, u64 host_vmcb_at rcx, u32 const* kicked r8)
// u32 hv_svm_world_switch_armed(…, u64 dr7 r9)
//
//   clgi ──────────────── nothing can interrupt ──────────────── stgi
//     sti: host IF = 1 at VMRUN, or a host interrupt would not end the guest (V_INTR_MASKING)
//        vmload guest │ vmrun ─ guest ─ #VMEXIT │ vmsave guest │ cli │ vmload host
//
// GIF stays 0 until the host's TR is back: an NMI or a fault on an interrupt stack reads the TSS through it.
// An NMI before CLGI is in `kicked`, a later one ends the guest at once: none is slept over.
// VMLOAD stands between STI and VMRUN because the shadow of an STI directly before VMRUN reaches the guest.
//
// Armed: between the two MOV DR7 the guest's breakpoints are enabled in the host, for software QEMU's sake
// (svm_vcpu_debug.cpp). No memory is touched there, CR2 keeps the VMCB's address: VMRUN loads the guest's.
// Should #DB come all the same (QEMU 7.2 takes a data breakpoint's only after the #VMEXIT when the
// instruction exits for another reason too), the handler returns at once: the instruction runs again, or DR6
// in the VMCB has it already. On silicon GIF = 0 discards such a hit.
.macro WORLD_SWITCH name, armed
FUNCTION \name
    push    rbp
    push    rbx
    push    r12
    push    r13
    push    r14
    push    r15
    clgi
    cmp     dword ptr [r8], 0
    jne     .Lkicked\@
    push    rcx
.if \armed
    push    rdx
.endif
    push    rsi
    push    rdi
.if \armed
    push    r9
    mov     cr2, rdx
.endif
    mov     rax, [rdi]
    mov     [rsi + VMCB_RAX], rax
    mov     rax, rdx
    mov     rcx, [rdi + 8 * 1]
    mov     rdx, [rdi + 8 * 2]
    mov     rbx, [rdi + 8 * 3]
    mov     rbp, [rdi + 8 * 5]
    mov     rsi, [rdi + 8 * 6]
    mov     r8,  [rdi + 8 * 8]
    mov     r9,  [rdi + 8 * 9]
    mov     r10, [rdi + 8 * 10]
    mov     r11, [rdi + 8 * 11]
    mov     r12, [rdi + 8 * 12]
    mov     r13, [rdi + 8 * 13]
    mov     r14, [rdi + 8 * 14]
    mov     r15, [rdi + 8 * 15]
    mov     rdi, [rdi + 8 * 7]
    sti
    vmload  rax
.if \armed
    pop     rax
    mov     dr7, rax
.Lguest_points\@:
    mov     rax, cr2
    vmrun   rax
    mov     eax, 0x400
    mov     dr7, rax
.Lno_points\@:
    mov     rax, [rsp + 8 * 2]
    .pushsection .breakpoint_ranges, "a"
    .quad   .Lguest_points\@, .Lno_points\@
    .popsection
.else
    vmrun   rax
.endif
    vmsave  rax
    cli
    pop     rax
    mov     [rax + 8 * 1], rcx
    mov     [rax + 8 * 2], rdx
    mov     [rax + 8 * 3], rbx
    mov     [rax + 8 * 5], rbp
    mov     [rax + 8 * 6], rsi
    mov     [rax + 8 * 7], rdi
    mov     [rax + 8 * 8], r8
    mov     [rax + 8 * 9], r9
    mov     [rax + 8 * 10], r10
    mov     [rax + 8 * 11], r11
    mov     [rax + 8 * 12], r12
    mov     [rax + 8 * 13], r13
    mov     [rax + 8 * 14], r14
    mov     [rax + 8 * 15], r15
    pop     rsi
    mov     rcx, [rsi + VMCB_RAX]
    mov     [rax], rcx
    pop     rax
.if \armed
    pop     rax
.endif
    vmload  rax
    xor     eax, eax
.Lreturn\@:
    stgi
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rbx
    pop     rbp
    ret
.Lkicked\@:
    mov     eax, 1
    jmp     .Lreturn\@
END_FUNCTION \name
.endm

WORLD_SWITCH hv_svm_world_switch, 0
WORLD_SWITCH hv_svm_world_switch_armed, 1

.section .note.GNU-stack, "", @progbits
