; SPDX-License-Identifier: Apache-2.0
; A kernel that waits in each mode for a debugger to set `turn` to the next number: 32-bit code without paging (1), real mode in a
; segment of its own (2), real mode in segment 0 as compilers write 16-bit code, with 32-bit frames (3), long mode (4). In each
; it says so on the serial port and waits in inner_…, called by outer_…, which have no labels of their own: gdb would take them for
; functions.
kSerial equ 0x3f8
kReal equ 0x8000                        ; where the real-mode code lies, and its segment's base

%macro say 2                            ; the address of a text, its number of bytes; without a label
    mov dx, kSerial
    mov esi, %1
    mov ecx, %2
    rep outsb
%endmacro

section .note.pvh note alloc noexec nowrite align=4
    dd 4, 8, 18
    db "Xen", 0
    dq start32

section .text
extern real_load, real_bytes
bits 32
global start32, outer32, inner32
start32:
    cli
    mov esp, stack_top
    lgdt [gdt_pointer]
    jmp 48:.flat
.flat:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esi, real_load
    mov edi, kReal
    mov ecx, real_bytes
    rep movsb
    say text32, text32_bytes
    xor ebp, ebp
    call outer32
    jmp 56:(protected16 - real_base)
outer32:
    push ebp
    mov ebp, esp
    call inner32
    pop ebp
    ret
inner32:
    push ebp
    mov ebp, esp
    cmp byte [turn], 1
    jb $ - 7
    pop ebp
    ret

bits 32
protected32:                            ; from real mode
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, stack_top
    mov dword [pml4], pdpt + 3
    mov dword [pdpt], directory + 3
    xor ecx, ecx
.page:
    mov eax, ecx
    shl eax, 21
    or eax, 0x83
    mov [directory + ecx * 8], eax
    inc ecx
    cmp ecx, 512
    jb .page
    mov eax, pml4
    mov cr3, eax
    mov eax, 1 << 5 | 1 << 9 | 1 << 10
    mov cr4, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 8
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    jmp 8:start64
bits 64
global start64, outer64, inner64
start64:
    say text64, text64_bytes
    xor ebp, ebp
    call outer64
    mov ax, 0x2000
    mov dx, 0x404
    out dx, ax
.forever:
    cli
    hlt
    jmp .forever
outer64:
    push rbp
    mov rbp, rsp
    call inner64
    pop rbp
    ret
inner64:
    push rbp
    mov rbp, rsp
    cmp byte [turn], 4
    jb $ - 8
    pop rbp
    ret

section .real progbits alloc exec write align=16
; Linked where it lies, entered with CS.base = kReal first, then with 0.
global real_base, waits16, outer16, inner16
real_base:
bits 16
protected16:
    mov ax, 64
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    jmp (kReal >> 4):(real16 - real_base)
real16:
    mov ax, kReal >> 4
    mov ds, ax
    mov ax, 0x1000
    mov es, ax
    mov ax, 0x2000
    mov ss, ax
    mov sp, 0x7000
    say text16 - real_base, text16_bytes
    xor ax, ax
    mov fs, ax
    mov gs, ax
waits16:
    cmp byte [fs:turn], 2
    jb waits16
    jmp 0:segment0
segment0:
    mov ds, ax
    mov ss, ax
    mov esp, kReal
    say text16_flat, text16_flat_bytes
    xor ebp, ebp
    call dword outer16
    lgdt [gdt_pointer_real]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword 48:protected32
outer16:
    push ebp
    mov ebp, esp
    call dword inner16
    pop ebp
    o32 ret
inner16:
    push ebp
    mov ebp, esp
    cmp byte [turn], 3
    jb $ - 5
    pop ebp
    o32 ret
global turn
turn: dd 0
text16: db "modes: real", 13, 10
text16_bytes equ $ - text16
text16_flat: db "modes: real, segment 0", 13, 10
text16_flat_bytes equ $ - text16_flat
align 4
gdt_pointer_real:
    dw 10 * 8 - 1
    dd gdt

section .data align=8
gdt:
    dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0, 0
    dq 0x00cf9b000000ffff               ; 48: 32-bit code
    dq 0x00009b008000ffff               ; 56: 16-bit code at kReal
    dq 0x000093000000ffff               ; 64: 16-bit data
    dq 0x00cf9b000000ffff               ; 72: 32-bit code once more
gdt_pointer:
    dw 10 * 8 - 1
    dd gdt
text32: db "modes: 32-bit", 13, 10
text32_bytes equ $ - text32
text64: db "modes: 64-bit", 13, 10
text64_bytes equ $ - text64

section .bss nobits align=4096
pml4: resb 4096
pdpt: resb 4096
directory: resb 4096
stack: resb 4096
stack_top:
