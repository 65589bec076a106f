; SPDX-License-Identifier: Apache-2.0
; Writes into each 4 KiB page of [1 GiB, 2 GiB), upwards, and finds everything there again.
%include "lib.inc"
kBegin equ 1 << 30
kEnd   equ 2 << 30
kPage  equ 4096
main:
    mov edi, kBegin
.write:
    mov [rdi], rdi
    add rdi, kPage
    cmp edi, kEnd
    jb .write
    say "gigabyte: written", 13, 10
    mov eax, 5000
    call wait_ms
    mov edi, kBegin
.read:
    cmp [rdi], rdi
    jne .other
    cmp qword [rdi + 8], 0
    jne .other
    add rdi, kPage
    cmp edi, kEnd
    jb .read
    finish "gigabyte"
    ret
.other:
    say "FAIL gigabyte: page at "
    mov rax, rdi
    call print_hex
    call newline
    ret
