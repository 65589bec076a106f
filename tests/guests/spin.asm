; SPDX-License-Identifier: Apache-2.0
; Keeps the processor for ever without asking anything of anybody, in the way that the letter names:
; j  a jump to itself, interrupts off
; m  loads of SS, behind each of which no interrupt comes
; b  a breakpoint on the handler of #DB
; d  a #DB whose delivery raises the next one: the stack that it is pushed on is watched (CVE-2015-8104)
%include "lib.inc"
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
