; SPDX-License-Identifier: Apache-2.0
; An #AC whose delivery raises the next one (CVE-2015-5307): in ring 3, handled in ring 3, on a stack at an odd
; address. Where a processor checks no alignment (software QEMU 7.2) it spins.
bits 32
kImage equ 0x200000
kCom1  equ 0x3f8
kKernelCode equ 8
kUserCode   equ 16 | 3
kUserData   equ 24 | 3
kTssSelector equ 32
kAlignmentCheck equ 17
kAm equ 1 << 18                     ; CR0
kAc equ 1 << 18                     ; EFLAGS
org kImage
multiboot_header:
    dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
    dd multiboot_header, kImage, 0, image_end, start
start:
    cli
    mov esp, stack_top
    lgdt [gdt_pointer]
    jmp kKernelCode:.here
.here:
    lidt [idt_pointer]
    mov ax, kTssSelector
    ltr ax
    mov esi, text
.letter:
    lodsb
    test al, al
    jz .said
    mov dx, kCom1
    out dx, al
    jmp .letter
.said:
    mov eax, cr0
    or eax, kAm
    mov cr0, eax
    mov ax, kUserData
    mov ds, ax
    push kUserData
    push user_stack_top - 1
    push kAc | 2
    push kUserCode
    push user
    iret
user:
    mov eax, [multiboot_header + 1]
    jmp $

text: db "alignment-storm: now", 13, 10, 0
align 8
gdt: dq 0, 0x00cf9b000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
    dw 103, tss - kImage
    db kImage >> 16, 0x89, 0, 0
gdt_pointer:
    dw 39
    dd gdt
idt_pointer:
    dw (kAlignmentCheck + 1) * 8 - 1
    dd idt
align 8
; The other vectors have no gate: whatever else is raised is the end of the guest.
idt: times kAlignmentCheck dq 0
    dw user - kImage, kUserCode, 0x8e00, kImage >> 16
tss: times 26 dd 0
times 256 db 0
stack_top:
times 256 db 0
user_stack_top:
image_end:
