; SPDX-License-Identifier: Apache-2.0
; The 64-bit kernel's assembly: the PVH note and the way to long mode, system call entry, user code, code that is rewritten or
; mapped later, and entries of its own debug exceptions.
%define kHigh 0xffffffff80000000
extern kernel_main, system_call, debug_event, breakpoint_event, timer_event, fault_event

section .note.pvh note alloc noexec nowrite align=4
    dd 4, 8, 18                         ; owner's length, data's length, XEN_ELFNOTE_PHYS32_ENTRY
    db "Xen", 0
    dq start32

section .boot progbits alloc exec write align=16
bits 32
global start32, start64_low
start32:
    cli
    mov esp, boot_stack_top
    ; 4 GiB 1:1 in 2 MiB pages, and the first GiB again at -2 GiB.
    mov dword [pml4], pdpt_low + 7
    mov dword [pml4 + 511 * 8], pdpt_high + 7
    mov dword [pdpt_high + 510 * 8], directory_high + 7
    xor ecx, ecx
.directory:
    mov eax, ecx
    shl eax, 12
    add eax, directories + 7
    mov [pdpt_low + ecx * 8], eax
    inc ecx
    cmp ecx, 4
    jb .directory
    xor ecx, ecx
.page:
    mov eax, ecx
    shl eax, 21
    or eax, 0x83
    mov [directories + ecx * 8], eax
    cmp ecx, 512
    jae .low_only
    mov [directory_high + ecx * 8], eax
.low_only:
    inc ecx
    cmp ecx, 4 * 512
    jb .page
    mov eax, pml4
    mov cr3, eax
    mov eax, 1 << 5 | 1 << 9 | 1 << 10  ; PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080
    xor edx, edx
    mov eax, 1 << 8 | 1                 ; LME, SCE
    wrmsr
    mov eax, 1 << 31 | 1 << 16 | 1 << 5 | 1 << 1 | 1    ; PG, WP, NE, MP, PE
    mov cr0, eax
    lgdt [gdt_pointer]
    jmp 8:start64_low
bits 64
start64_low:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov rsp, kernel_stack_top
    mov rax, start64
    jmp rax

align 8
global gdt
gdt:
    dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff        ; 8 code, 16 data
    dq 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff ; 24 user 32-bit code, 32 user data, 40 user code
    dq 0, 0                                             ; 48 TSS
    dq 0x00af9b000000ffff, 0x12cf93345000ffff           ; 64 code, 72 data at 0x12345000
    dq 0x00cf9b000000ffff                               ; 80 32-bit code
gdt_pointer:
    dw 11 * 8 - 1
    dq gdt

section .boot.bss nobits alloc write align=4096
global pml4, directories, directory_high, pdpt_high
pml4: resb 4096
pdpt_low: resb 4096
pdpt_high: resb 4096
directory_high: resb 4096
directories: resb 4 * 4096
    resb 4096
boot_stack_top:

section .text
global start64
start64:
    push 0                              ; a frame without a return address: where a backtrace ends
    xor ebp, ebp
    call kernel_main
    ud2

; -- interrupts ---------------------------------------------------------------------------------------------------------------
; All hand a pointer to the interrupt frame (RIP, CS, RFLAGS, RSP, SS) to C++.
%macro entry 2-3
global %1
%1:
%if %0 == 3
    add rsp, 8                          ; the error code
%endif
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    lea rdi, [rsp + 9 * 8]
    cld
    call %2
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    iretq
%endmacro
entry debug_entry, debug_event
entry breakpoint_entry, breakpoint_event
entry timer_entry, timer_event
entry fault_entry, fault_event
entry fault_code_entry, fault_event, code

; Interrupts on for a while. The first instruction behind STI still runs before an interrupt.
global pending_window, pending_first, pending_last
pending_window:
    sti
pending_first:
    times 8 nop
pending_last:
    cli
    ret

; -- user mode ----------------------------------------------------------------------------------------------------------------
; void enter_user(entry, stack): comes back when user code asks for system call 99.
global enter_user, system_call_entry, system_call_return
enter_user:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [cpu_local + 16], rsp
    mov [cpu_local + 8], rsp            ; system calls run below
    mov ecx, 0xc0000102                 ; IA32_KERNEL_GS_BASE
    mov rax, cpu_local
    mov rdx, rax
    shr rdx, 32
    wrmsr
    mov rcx, rdi
    mov r11d, 2
    mov rsp, rsi
    o64 sysret
system_call_entry:
    swapgs
    mov [gs:0], rsp
    mov rsp, [gs:8]
    cmp eax, 99
    je system_call_leave
    push rcx
    push r11
    mov edi, eax
    call system_call
    pop r11
    pop rcx
    mov rsp, [gs:0]
    swapgs
system_call_return:
    o64 sysret
system_call_leave:
    mov rsp, [gs:16]
    swapgs
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

section .user progbits alloc exec nowrite align=4096
global user_main, user_after_call
user_main:
    mov ebx, 3
user_again:
    mov eax, ebx
    syscall
user_after_call:
    dec ebx
    jnz user_again
    mov eax, 99
    syscall
    ud2

; -- the kernel's own debugging ---------------------------------------------------------------------------------------------------
section .text
; Five instructions under the trap flag; traps come after each NOP, PUSHF and the OR, AND … up to the POPF that clears it.
global own_steps, own_steps_first, own_steps_last
own_steps:
    pushfq
    or dword [rsp], 0x100
    popfq
own_steps_first:
    nop
    nop
    pushfq                              ; shows the flag: it is ours
    mov rax, [rsp]
    and dword [rsp], ~0x100
    popfq
own_steps_last:
    ret                                 ; POPF was trapped too
; An INT3; and a byte to execute and one to write for debug registers.
global own_breakpoint, own_breakpoint_next, own_target, own_store, own_store_next
own_breakpoint:
    int3
own_breakpoint_next:
    ret
own_target:
    nop
    ret
own_store:
    mov byte [rdi], 1
own_store_next:
    nop
    ret

; -- code that changes, code that is not there yet ----------------------------------------------------------------------------
section .changing progbits alloc exec write align=4096
global patched
patched:
    mov eax, 0
    ret

section .late progbits alloc exec nowrite align=4096
global late_function, late_second
late_function:
    lea eax, [rdi + 1]
late_second:
    add eax, 1
    times 6 nop
    ret

section .bss align=4096 nobits
global kernel_stack_top, cpu_local
    resb 32768
kernel_stack_top:
cpu_local: resq 8                       ; user RSP, kernel RSP, RSP of enter_user
