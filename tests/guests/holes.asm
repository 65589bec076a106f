; SPDX-License-Identifier: Apache-2.0
; Reads, writes and runs at addresses where no memory is, and handles the APICs' registers in ways nobody does.
%include "lib.inc"
main:
    ; page tables where no memory is: the walk itself ends in #GP
    mov qword [pdpt + 9 * 8], 0x40000000 + 7
    mov rax, cr3
    mov cr3, rax
    mov rax, (9 << 30)
    must_fault 13, mov rcx, [rax]
    must_fault 13, mov [rax], rcx
    must_fault 13, jmp rax
    mov ecx, 0xfee00000 + 7
    mov [pdpt + 9 * 8], rcx
    mov rcx, cr3
    mov cr3, rcx
    guarded mov rcx, [rax]
    mov qword [pdpt + 9 * 8], 0
    mov rcx, cr3
    mov cr3, rcx

    mov r12d, places
.place:
    mov rax, [r12]
    cmp rax, -1
    je .places_done
    mov rbx, rax
    and rax, -1 << 21
    call map_window
    and ebx, (1 << 21) - 1
    mov rax, 8 << 30
    add rbx, rax                    ; the place, through the window
    call poke
    inc qword [poked]
    add r12d, 8
    jmp .place
.places_done:
    say "holes: "
    mov rax, [poked]
    call print_dec
    say " places", 13, 10

    mov rax, 0xfee00000
    call map_window
    xor r12d, r12d
.apic:
    mov rbx, 8 << 30
    add rbx, r12
    guarded mov al, [rbx]
    guarded mov ax, [rbx]
    guarded mov eax, [rbx]
    guarded mov rax, [rbx]
    cmp r12d, 0x300                 ; a command to itself could be INIT, which is a reset
    je .apic_next
    cmp r12d, 0x2fd
    jb .apic_write
    cmp r12d, 0x310
    jb .apic_next
.apic_write:
    mov ecx, 0xff
    guarded mov [rbx], cl
    mov ecx, -1
    guarded mov [rbx], ecx
    xor ecx, ecx
    guarded mov [rbx], ecx
.apic_next:
    inc r12d
    cmp r12d, 0x400                 ; where the registers end, samples are enough
    jb .apic
    add r12d, 60
    cmp r12d, 0x1000
    jb .apic
    mov edi, 0xfee00000
    mov dword [rdi + 0x300], 0x000040ff   ; fixed, to itself, by every odd name it may have
    mov dword [rdi + 0x310], -1
    mov dword [rdi + 0x300], 0x00088f31
    mov dword [rdi + 0x300], 0x000c4000   ; vector 0
    say "holes: local APIC", 13, 10

    mov r12d, 0xfec00000
    xor r13d, r13d
.ioapic:
    mov [r12], r13b
    mov dword [r12], r13d
    guarded mov eax, [r12 + 0x10]
    mov ecx, -1
    guarded mov [r12 + 0x10], ecx
    mov ecx, 0x00010000
    guarded mov [r12 + 0x10], ecx   ; masked
    inc r13d
    cmp r13d, 0x300
    jb .ioapic
    mov ebx, 0xfec00000
.ioapic_offset:
    guarded mov al, [rbx]
    guarded mov rax, [rbx]
    guarded mov eax, [rbx]
    mov ecx, 0x10
    guarded mov [rbx], cx
    inc ebx
    cmp ebx, 0xfec00080
    jb .ioapic_offset
    add ebx, 36
    cmp ebx, 0xfec01010
    jb .ioapic_offset
    say "holes: I/O APIC", 13, 10
    finish "holes"
    ret

; Everything an instruction can do at rbx
poke:
    mov [poke_stack], rsp
    guarded mov al, [rbx]
    guarded mov ax, [rbx]
    guarded mov eax, [rbx]
    guarded mov rax, [rbx]
    guarded mov eax, [rbx + 1]
    guarded mov rax, [rbx - 3]
    mov ecx, 0x11223344
    guarded mov [rbx], cl
    guarded mov [rbx], cx
    guarded mov [rbx], ecx
    guarded mov [rbx], rcx
    guarded mov [rbx + 3], rcx
    guarded mov [rbx - 3], rcx
    guarded mov dword [rbx], 5
    guarded movzx eax, byte [rbx]
    guarded movsx rax, word [rbx]
    guarded movsxd rax, dword [rbx]
    guarded add [rbx], ecx
    guarded or byte [rbx], 1
    guarded test dword [rbx], 4
    guarded bts dword [rbx], 3
    guarded inc dword [rbx]
    guarded neg qword [rbx]
    guarded xchg [rbx], ecx
    guarded lock xadd [rbx], ecx
    guarded lock cmpxchg [rbx], ecx
    jmp $ + 2                       ; software QEMU 7.2 loses the flags of what comes before in one block
    guarded cmpxchg16b [rbx]
    guarded lea rsp, [rbx + 4]
    guarded push rcx
    guarded pop rcx
    mov rsp, [poke_stack]
    guarded movdqu xmm2, [rbx]
    guarded movdqu [rbx], xmm2
    guarded movnti [rbx], ecx
    guarded fxsave [rbx]
    guarded fxrstor [rbx]
    guarded fld qword [rbx]
    fninit
    guarded fnstenv [rbx]
    guarded sgdt [rbx]
    guarded clflush [rbx]
    guarded prefetcht0 [rbx]
    guarded invlpg [rbx]
    guarded ltr [rbx]
    guarded lldt [rbx]
    guarded enter 8, 0
    mov rsp, [poke_stack]
    cld
    mov rsi, rbx
    mov edi, kFree
    mov ecx, 64
    guarded rep movsb
    mov esi, kFree
    mov rdi, rbx
    mov ecx, 64
    guarded rep movsd
    mov rsi, rbx
    lea rdi, [rbx + 32]
    mov ecx, 8
    guarded rep movsq
    mov rdi, rbx
    mov ecx, 64
    guarded rep stosb
    mov rdi, rbx
    mov ecx, 8
    guarded repe scasw
    mov rsi, rbx
    mov edi, kFree
    mov ecx, 8
    guarded repe cmpsb
    mov rsi, rbx
    guarded lodsq
    cmp qword [r12], 0xc0000        ; RAM, ACPI tables: what it holds may run
    je .no_run
    cmp qword [r12], 0xfffffe
    je .no_run
    guarded jmp rbx
    mov rsp, [poke_stack]
.no_run:
    ret
section .data
align 8
places:
    dq 0xa0000, 0xb8000, 0xbfffe, 0xc0000
    dq 0xfffffe                     ; the last bytes of RAM and what comes behind (16 MiB)
    dq 0x1000000, 0x1000ffc, 0x40000000, 0xbffffffc, 0xc0000000, 0xe0000000, 0xfebffffe
    dq 0xfec00ffe, 0xfec01000, 0xfed00000, 0xfedffffc, 0xfee01000, 0xffff0000, 0xfffffffc
    dq 0x100000000, 0x108000000, 0x1fffffffe, 0x7fffffffc
    dq 0x0000000fffffe000, 0x000000ffffe00000, 0x00003fffffe00000, 0x000fffffffe00000
    dq -1
section .bss
poked: resq 1
poke_stack: resq 1
