; SPDX-License-Identifier: Apache-2.0
; Every port, read and written in every size, but for the writes that reset the machine; string I/O with bad addresses.
%include "lib.inc"
main:
    xor r12d, r12d
.port:
    mov edx, r12d
    in al, dx
    cmp r12d, 0x1000
    jb .wide
    mov eax, r12d
    and eax, 7
    jnz .narrow                     ; wide ones on every eighth port, for time's sake
.wide:
    in ax, dx
    in eax, dx
.narrow:
    ; all ones at 92h, CF9h or the UART's data register would end the test or spoil the console
%macro unless 2
    cmp r12d, %1
    jb %%no
    cmp r12d, %2
    jbe .next
%%no:
%endmacro
    unless 0x8f, 0x92
    unless 0xcf6, 0xcf9
    unless 0x3f5, 0x3f8
    mov eax, -1
    out dx, al
    cmp r12d, 0x1000
    jb .wide_out
    test r12d, 7
    jnz .next
.wide_out:
    out dx, ax
    out dx, eax
    xor eax, eax
    out dx, eax
.next:
    inc r12d
    cmp r12d, 0x10000
    jb .port
    call uart_init
    say "port-sweep: all ports", 13, 10

    ; PCI configuration space, all of bus 0
    xor r12d, r12d
.pci:
    mov eax, r12d
    shl eax, 8
    or eax, 0x80000000
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    mov dx, 0xcfe
    in ax, dx
    mov dx, 0xcff
    in al, dx
    mov eax, -1
    mov dx, 0xcfc
    out dx, eax
    inc r12d
    cmp r12d, 0x400
    jb .pci

    ; strings: from and to addresses that are not mapped, no RAM, not canonical, or end in the middle
    cld
    mov eax, 14 << 20
    call map_window
    mov r13, kWindow + (2 << 20) - 16   ; RAM, and behind it nothing is mapped
    mov dx, 0x80
    mov rsi, r13
    mov rcx, -1
    must_fault 14, rep outsb
    mov rdi, r13
    mov rcx, -1
    must_fault 14, rep insb
    mov rdi, 0x0000700000000000
    mov ecx, 4
    must_fault 14, rep insd
    mov rdi, 0x8000000000000000
    mov ecx, 1
    must_fault 13, rep insb
    mov rsi, 0x7ffffffffffe
    mov ecx, 1
    guarded rep outsd
    mov edi, 0xfee00000             ; into the local APIC's page and other holes
    mov ecx, 64
    guarded rep insb
    mov edi, 0xa0000                ; an open bus swallows and reads ones, as with MOV
    mov ecx, 64
    must_run rep insw
    mov esi, 0xd0000000
    mov ecx, 64
    must_run rep outsd
    std
    mov edi, kFree + 4096
    mov ecx, 4096
    guarded rep insb
    cld
    mov edi, kFree                  ; a good one must still work
    mov ecx, 3 * 4096
    must_run rep insb
    cmp edi, kFree + 3 * 4096
    must je, "INS stopped early"
    mov esi, kFree
    xor ecx, ecx
    must_run rep outsb
    mov dx, kCom1
    call uart_init
    mov esi, text
    mov ecx, text.end - text
    must_run rep outsb
    finish "port-sweep"
    ret
section .data
text: db "port-sweep: strings", 13, 10
.end:
