// SPDX-License-Identifier: Apache-2.0
// The processor becomes a guest where it stands, and what is below that guest: VMRUN for ever. Offsets in the
// VMCB: svm_lock.cpp asserts them.
//
//   test_firmware_become_guest ── VMRUN ──> returns to its caller as the guest
//                                 ^    │
//                                 │ #VMEXIT
//        test_firmware_handle_exit <───┘
.intel_syntax noprefix
.set VMCB_RFLAGS, 0x570
.set VMCB_RIP, 0x578
.set VMCB_RSP, 0x5d8

// void test_firmware_become_guest(Vmcb* rdi, u8 const* host_stack_top rsi)
// The guest starts with the registers of its caller, all but RAX: VMRUN leaves them alone.
    .section .text.test_firmware_become_guest, "ax", @progbits
    .balign 16
    .globl  test_firmware_become_guest
    .hidden test_firmware_become_guest
    .type   test_firmware_become_guest, @function
test_firmware_become_guest:
    lea     rax, .Lguest[rip]
    mov     [rdi + VMCB_RIP], rax
    pushfq
    pop     qword ptr [rdi + VMCB_RFLAGS]
    mov     [rdi + VMCB_RSP], rsp
    cli
    clgi                        // VMRUN sets GIF again: interrupts are the guest's, and GIF is 0 out here
    mov     rsp, rsi
    mov     rax, rdi
.Lenter:
    vmrun   rax                 // #VMEXIT brings RAX and RSP back
    push    rax
    push    rax                 // keeps the stack aligned
    push    r15
    push    r14
    push    r13
    push    r12
    push    r11
    push    r10
    push    r9
    push    r8
    push    rbp
    push    rdi
    push    rsi
    push    rdx
    push    rcx
    push    rbx
    mov     rdi, rax
    mov     rsi, rsp
    cld
    call    test_firmware_handle_exit
    pop     rbx
    pop     rcx
    pop     rdx
    pop     rsi
    pop     rdi
    pop     rbp
    pop     r8
    pop     r9
    pop     r10
    pop     r11
    pop     r12
    pop     r13
    pop     r14
    pop     r15
    pop     rax
    pop     rax
    jmp     .Lenter
.Lguest:
    ret
    .size   test_firmware_become_guest, . - test_firmware_become_guest

.section .note.GNU-stack, "", @progbits
