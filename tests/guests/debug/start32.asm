; SPDX-License-Identifier: Apache-2.0
; The 32-bit kernel's entry: a multiboot 1 header, protected mode without paging, flat segments.
bits 32
extern kernel_main
global start32

section .multiboot align=4
    dd 0x1badb002, 0, -0x1badb002

section .text
start32:
    cli
    mov esp, stack_top
    lgdt [gdt_pointer]
    jmp 8:.flat
.flat:
    mov eax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    call kernel_main
.forever:
    hlt
    jmp .forever

section .data align=8
gdt: dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    dw 23
    dd gdt

section .bss align=16
    resb 16384
stack_top:
