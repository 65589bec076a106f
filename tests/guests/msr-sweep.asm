; SPDX-License-Identifier: Apache-2.0
; Reads and writes every MSR that exists anywhere: 0, all ones, noise, and back what was there.
%include "lib.inc"
%macro sweep 2                      ; first, last
    mov r12d, %1
    mov r13d, %2
    call sweep_range
%endmacro
main:
    sweep 0, 0x1fff
    sweep 0x40000000, 0x400001ff
    sweep 0x40001000, 0x4000100f
    sweep 0xc0000000, 0xc0001fff
    sweep 0xc0010000, 0xc0011fff
    sweep 0xfffffff0, 0xfffffffe
    mov ecx, 0x1b                   ; and those of an x2APIC
    rdmsr
    or eax, 0xc00
    must_run wrmsr
    sweep 0x800, 0x8ff
    say "msr-sweep: "
    mov rax, [good_reads]
    call print_dec
    say " reads, "
    mov rax, [good_writes]
    call print_dec
    say " writes done", 13, 10
    finish "msr-sweep"
    ret
sweep_range:
.next:
    mov ecx, r12d
    guarded rdmsr
    mov r14d, eax
    mov r15, rdx
    mov rbx, [last_vector]
    cmp rbx, -1
    jne .no_read
    inc qword [good_reads]
    jmp .writes
.no_read:
    cmp rbx, 13
    must je, "a refused MSR read is not #GP"
.writes:
    xor eax, eax
    xor edx, edx
    call write
    mov eax, -1
    mov edx, -1
    call write
    call random
    mov rdx, rax
    shr rdx, 32
    cmp r12d, 0x830                 ; noise in the ICR may be an INIT to itself
    je .restore
    call write
.restore:
    cmp rbx, -1
    jne .unreadable
    mov eax, r14d
    mov rdx, r15
    call write
.unreadable:
    inc r12d
    cmp r12d, r13d
    jbe .next
    ret
write:
    mov ecx, r12d
    guarded wrmsr
    cmp qword [last_vector], -1
    jne .refused
    inc qword [good_writes]
    ret
.refused:
    cmp qword [last_vector], 13
    must je, "a refused MSR write is not #GP"
    ret
section .bss
good_reads: resq 1
good_writes: resq 1
