; SPDX-License-Identifier: Apache-2.0
; Registers as the processor has them. void take_registers(): a debugger stops at registers_here, gives every register another
; value and RIP that of registers_there. From there on all is stored before anything changes, and then put back.
; Below: registers_seen, 8 bytes each in the order of the stores; registers_fpu, as FXSAVE64 has it; registers_high, the upper halves
; of YMM0 to YMM15; registers_far, what lay behind kFar.
%define kFar 0xffff800000000000         ; each of the two roots has something else there
%define kText 0xffffffff80200000
kEfer equ 0xc0000080
kFsBase equ 0xc0000100
kGsBase equ 0xc0000101
kKernelGsBase equ 0xc0000102
kAvx equ 7                              ; XCR0
kOsxsave equ 1 << 18

%macro see 1                            ; a 64-bit register, to the next place
    mov [rel registers_seen + %$at], %1
%assign %$at %$at + 8
%endmacro
%macro see_selector 1
    xor eax, eax
    mov eax, %1
    see rax
%endmacro
%macro see_control 1
    mov rax, %1
    see rax
%endmacro
%macro see_msr 1
    mov ecx, %1
    rdmsr
    shl rdx, 32
    or rax, rdx
    see rax
%endmacro
%macro keep_msr 1
    mov ecx, %1
    rdmsr
    push rax
    push rdx
%endmacro
%macro put_back_msr 1
    mov ecx, %1
    pop rdx
    pop rax
    wrmsr
%endmacro
%macro keep_control 1
    mov rax, %1
    push rax
%endmacro
%macro put_back_control 1
    pop rax
    mov %1, rax
%endmacro

section .text
global take_registers, registers_here, registers_there
take_registers:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    pushfq
    keep_msr kEfer
    keep_msr kFsBase
    keep_msr kGsBase
    keep_msr kKernelGsBase
    keep_control cr3
    keep_control cr8
    keep_control cr4
    keep_control cr0
    mov [rel kept_rsp], rsp
    call avx_on
    fninit
    mov rax, qword registers_marker + (kFar - kText)
    mov rax, [rax]                      ; its translation is known now
registers_here:
    ud2
registers_there:
%push
%assign %$at 0
    see rax
    see rbx
    see rcx
    see rdx
    see rsi
    see rdi
    see rbp
    see rsp
    see r8
    see r9
    see r10
    see r11
    see r12
    see r13
    see r14
    see r15
    pushfq
    pop rax
    see rax
    see_selector cs
    see_selector ss
    see_selector ds
    see_selector es
    see_selector fs
    see_selector gs
    see_control cr0
    see_control cr2
    see_control cr3
    see_control cr4
    see_control cr8
    see_msr kEfer
    see_msr kFsBase
    see_msr kGsBase
    see_msr kKernelGsBase
%assign kSeenBytes %$at
%pop
    mov rax, qword registers_marker + (kFar - kText)
    mov rax, [rax]
    mov [rel registers_far], rax
    mov rsp, [rel kept_rsp]
    mov eax, 16
    mov ss, eax
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    push 8
    lea rax, [rel .code]
    push rax
    o64 retf
.code:
    put_back_control cr0                ; x87 and SSE may be off in the other one
    fxsave64 [rel registers_fpu]
    put_back_control cr4
    call avx_on
%assign i 0
%rep 16
    vextractf128 [rel registers_high + 16 * i], ymm %+ i, 1
%assign i i + 1
%endrep
    fninit
    ldmxcsr [rel kInitialMxcsr]
    put_back_control cr8
    put_back_control cr3
    put_back_msr kKernelGsBase
    put_back_msr kGsBase
    put_back_msr kFsBase
    put_back_msr kEfer
    popfq
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

avx_on:
    mov rax, cr4
    or eax, kOsxsave
    mov cr4, rax
    xor ecx, ecx
    xor edx, edx
    mov eax, kAvx
    xsetbv
    ret

section .rodata
kInitialMxcsr: dd 0x1f80

section .data
global registers_marker
align 8
registers_marker: dq 0x600d600d600d600d

section .bss align=16 nobits
global registers_seen, registers_fpu, registers_high, registers_far
registers_fpu: resb 512
registers_high: resb 16 * 16
registers_seen: resb kSeenBytes
registers_far: resq 1
kept_rsp: resq 1
