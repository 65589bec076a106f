; SPDX-License-Identifier: Apache-2.0
; What a multiboot loader hands over: says the command line, and of each module its length, its bytes' sum and its
; string. Checks that the memory map holds all of them.
%include "lib.inc"
main:
    mov ebx, [boot_info]
    mov eax, [rbx]                  ; flags
    and eax, 1 | 1 << 2 | 1 << 3 | 1 << 6
    cmp eax, 1 | 1 << 2 | 1 << 3 | 1 << 6
    must je, "modules: memory, command line, modules and map are not all there"
    say "modules: command line '"
    mov esi, [rbx + 16]
    call print
    say "'", 13, 10
    mov r12d, [rbx + 20]
    mov r13d, [rbx + 24]
    test r12d, r12d
    jz .end
.module:
    mov eax, [r13]
    test eax, 4095
    must jz, "modules: not at a page's start"
    cmp eax, kImageEnd
    must jae, "modules: over the kernel"
    mov edi, [r13 + 4]
    mov ecx, [rbx + 8]              ; mem_upper, KiB above 1 MiB
    shl rcx, 10
    add rcx, 1 << 20
    cmp rdi, rcx
    must jbe, "modules: beyond the memory"
    mov r8d, [rbx + 48]             ; the map: an entry that is RAM holds it
    mov r9d, [rbx + 44]
    add r9, r8
.entry:
    cmp r8, r9
    jae .held                       ; equal or behind: in none
    cmp dword [r8 + 20], 1
    jne .another
    cmp rax, [r8 + 4]
    jb .another
    mov rcx, [r8 + 4]
    add rcx, [r8 + 12]
    cmp rdi, rcx
    jbe .held
.another:
    mov ecx, [r8]
    lea r8, [r8 + rcx + 4]
    jmp .entry
.held:
    cmp r8, r9
    must jb, "modules: in no RAM of the memory map"
    say "modules: "
    mov eax, edi
    sub eax, [r13]
    call print_dec
    say " bytes, sum "
    mov esi, [r13]
    xor edx, edx
    xor eax, eax
.byte:
    cmp esi, edi
    jae .summed
    lodsb
    add edx, eax
    jmp .byte
.summed:
    mov eax, edx
    call print_dec
    say " '"
    mov esi, [r13 + 8]
    call print
    say "'", 13, 10
    add r13, 16
    dec r12d
    jnz .module
.end:
    finish "modules"
    ret

print:                              ; esi
    lodsb
    test al, al
    jz .done
    call put_byte
    jmp print
.done:
    ret
