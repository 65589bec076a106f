; SPDX-License-Identifier: Apache-2.0
; Keeps the processor for ever without asking anything of anybody, in the way that the letter names:
; j  a jump to itself, interrupts off
; m  loads of SS, behind each of which no interrupt comes
; b  a breakpoint on the handler of #DB
; d  a #DB whose delivery raises the next one: the stack that it is pushed on is watched (CVE-2015-8104)
; c  says so on COM1, as fast as it can
; s  an exception whose stack is where no memory is; i  whose IDT, t  whose TSS, g  whose GDT is there
%include "lib.inc"
kNowhere equ 6 << 30                ; mapped, and nothing behind it
kBreakpoint equ 1 << 0              ; DR7: L0
kWatchWritesOf8 equ 1 << 0 | 1 << 16 | 2 << 18  ; DR7: L0, R/W0, LEN0
main:
    say "spin: now", 13, 10
    cmp byte [variant], 'm'
    je .loads
    cmp byte [variant], 'b'
    je .breakpoint
    cmp byte [variant], 'd'
    je .watched_stack
    cmp byte [variant], 'c'
    je .chatter
    mov rax, kNowhere
    cmp byte [variant], 's'
    je .no_stack
    cmp byte [variant], 'i'
    je .no_idt
    cmp byte [variant], 't'
    je .no_tss
    cmp byte [variant], 'g'
    je .no_gdt
    cli
    jmp $
.loads:
    sti
    mov eax, 16
.load:
%rep 64
    mov ss, eax
%endrep
    jmp .load
.breakpoint:
    mov eax, stubs + 16             ; of vector 1
    mov dr0, rax
    mov ecx, kBreakpoint
    mov dr7, rcx
    pushfq
    or qword [rsp], 1 << 8          ; TF: the first one
    popfq
    jmp $
.watched_stack:
    mov eax, exception_stack_top - 8
    mov dr0, rax
    mov ecx, kWatchWritesOf8
    mov dr7, rcx
    mov [exception_stack_top - 8], rax
.chatter:
    say "spin: says so, again and again and again", 13, 10
    jmp .chatter
.no_stack:
    mov [kExceptionStack], rax
    ud2
.no_idt:
    mov [idt_pointer + 2], rax
    lidt [idt_pointer]
    ud2
.no_tss:
    mov word [gdt + 24 + 2], 0
    mov byte [gdt + 24 + 4], 0
    mov byte [gdt + 24 + 5], 0x89
    mov dword [gdt + 24 + 8], 1     ; at 4 GiB
    mov ecx, 24
    ltr cx
    ud2
.no_gdt:
    mov [gdt_pointer + 2], rax
    lgdt [gdt_pointer]
    ud2
