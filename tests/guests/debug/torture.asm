; SPDX-License-Identifier: Apache-2.0
; One instruction is one instruction: a straight line over all that is special about stepping an x86, in long mode, through the
; switch down, and in real mode. A debugger stops at torture_begin and steps; at each stop its PC has to be the next entry of the
; table steps .. steps_end or real_steps .. real_steps_end (bit 63
; set: may be left out). The guest itself checks that it never sees a trap flag that is not its
; own, and says "torture: OK" in both modes; it does so as well when nobody steps.
;
; S INSTRUCTION: an instruction that is stepped at. to ADDRESS: the step before goes there. optionally ADDRESS: or may stop there.
%define STEPS .steps
%macro S 1+
%%at: %1
[section STEPS]
    dq %%at
__?SECT?__
%endmacro
%macro to 1-*
[section STEPS]
%rep %0
    dq %1
%rotate 1
%endrep
__?SECT?__
%endmacro
%macro optionally 1
[section STEPS]
    dd %1, 1 << 31
__?SECT?__
%endmacro
; clean FLAGS-OPERAND: the trap flag must not be in it
%macro clean 1
    S test dword %1, 0x100
    S jnz near bad
%endmacro
; A handler's steps are listed once for each time it runs.
%define INT_STEPS h_int, h_int.2, h_int.3, h_int.4
%macro skip_steps 1
    to %1, %1.2, %1.3, %1.4, %1.5
%endmacro
%define DEBUG_STEPS h_db, h_db.2, h_db.3, h_db.4, h_db.5, h_db.6, h_db.7, h_db.8, h_db.9, h_db.10, h_db.11
%define USER_STEPS user, user.2, user.3, user.4, user.5, called, called.2, called.3, called.4, called.5
kApic equ 0xfee00000
kTimer equ 0x40

section .note.pvh note alloc noexec nowrite align=4
    dd 4, 8, 18
    db "Xen", 0
    dq start32

section .steps progbits alloc noexec nowrite align=8
global steps, steps_end, real_steps, real_steps_end
steps:
section .steps2 progbits alloc noexec nowrite align=8
steps_end:                              ; the linker puts this section right behind
real_steps:
section .steps3 progbits alloc noexec nowrite align=8
real_steps_end:

section .text
extern real_load, real_bytes
bits 32
global start32
start32:
    cli
    mov esp, stack_top
    mov dword [pml4], pdpt + 7
    xor ecx, ecx
.directory:
    mov eax, ecx
    shl eax, 12
    add eax, directories + 7
    mov [pdpt + ecx * 8], eax
    inc ecx
    cmp ecx, 4
    jb .directory
    xor ecx, ecx
.page:                                  ; for ring 3 too
    mov eax, ecx
    shl eax, 21
    or eax, 0x87
    mov [directories + ecx * 8], eax
    inc ecx
    cmp ecx, 4 * 512
    jb .page
    mov dword [directories + 8 * 511], 0 ; nothing at 1 GiB - 2 MiB
    mov eax, pml4
    mov cr3, eax
    mov eax, 1 << 5 | 1 << 9 | 1 << 10
    mov cr4, eax
    mov ecx, 0xc0000080
    xor edx, edx
    mov eax, 1 << 8 | 1
    wrmsr
    mov eax, 1 << 31 | 1 << 5 | 1 << 1 | 1
    mov cr0, eax
    lgdt [gdt_pointer]
    jmp 8:start64
bits 64
start64:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov rsp, stack_top
    mov esi, real_load
    mov edi, 0x8000
    mov ecx, real_bytes
    rep movsb
    mov edi, idt
    mov esi, gates
.gate:
    mov eax, [rsi]                      ; vector
    mov ecx, [rsi + 4]                  ; handler
    shl eax, 4
    mov [rdi + rax], cx
    mov dword [rdi + rax + 2], 8 | 0x8e00 << 16
    shr ecx, 16
    mov [rdi + rax + 6], cx
    add esi, 8
    cmp esi, gates_end
    jb .gate
    lidt [idt_pointer]
    mov al, 0xff                        ; PICs, where there are some, are silent
    out 0x21, al
    out 0xa1, al
    mov ecx, 0xc0000081                 ; STAR
    xor eax, eax
    mov edx, 24 << 16 | 8
    wrmsr
    mov ecx, 0xc0000082                 ; LSTAR
    xor edx, edx
    mov eax, called
    wrmsr
    mov ecx, 0xc0000084                 ; SFMASK: TF, IF
    xor edx, edx
    mov eax, 0x300
    wrmsr
    ; An interrupt is pending all the time.
    mov edi, kApic
    mov dword [rdi + 0xf0], 0x1ff
    mov dword [rdi + 0x3e0], 0xb
    mov dword [rdi + 0x320], kTimer
    mov dword [rdi + 0x380], 1000
.pending:
    test dword [rdi + 0x200 + (kTimer / 32) * 16], 1 << (kTimer % 32)
    jz .pending
    jmp torture_begin

; -- the line -------------------------------------------------------------------------------------------------------------------
align 16
global torture_begin
torture_begin:
    S nop
    ; PUSHF, POPF
    S pushfq
    clean [rsp]
    S popfq
    S pushf                             ; 16 bits
    S test word [rsp], 0x100
    S jnz near bad
    S popf
    S pushfq
    S pop rax
    clean eax
    ; INT n, INT3
    S int 0x30
    to INT_STEPS
    S int3
    to INT_STEPS
    S nop
    ; faults with a handler: #UD, #PF, #DE
    S ud2
    skip_steps h_ud
    S mov al, [0x3fe00000]
    to h_pf
    to h_pf.2, h_pf.3, h_pf.4, h_pf.5, h_pf.6
    S xor ecx, ecx
    S div cx
    skip_steps h_de
    S nop
    ; REP: one instruction, however often
    S mov esi, torture_begin
    S mov edi, scratch
    S mov ecx, 100
    S rep movsb
    S jrcxz .copied
    jmp near bad
.copied:
    S mov edi, scratch
    S rep stosq                         ; RCX is 0
    S mov ecx, 512
    S xor eax, eax
    S rep stosq
    S mov edi, scratch
    S mov ecx, 50
    S mov al, 1
    S repne scasb
    S jrcxz .scanned
    jmp near bad
.scanned:
    S mov edx, 0x80
    S mov esi, scratch
    S mov ecx, 5
    S rep outsb
    S jrcxz .written
    jmp near bad
.written:
    ; LOOP to itself is an instruction each time.
    S mov ecx, 3
.loop:
    S loop .loop
    to .loop, .loop
    S call subroutine
    to subroutine, subroutine.2
    S nop
    ; CPUID, IN, OUT, RDMSR, WRMSR, RDTSC, control registers, XGETBV: most are intercepted
    S xor eax, eax
    S cpuid
    S in al, 0x61
    S out 0x80, al
    S mov ecx, 0xc0000080
    S rdmsr
    S wrmsr
    S mov ecx, 0x1b
    S rdmsr
    S rdtsc
    S mov rax, cr0
    S mov cr0, rax
    S mov rax, cr3
    S mov cr3, rax
    S mov rax, cr4
    S mov cr4, rax
    S mov rax, cr8
    S mov cr8, rax
    S invlpg [scratch]
    S wbinvd
    ; memory that was never touched; a device; an instruction across a page; one that rewrites the next
    S mov byte [0x2000000], 1
    S mov edx, kApic
    S mov eax, [rdx + 0x30]
    S mov [rdx + 0xb0], eax             ; end of an interrupt that is not in service
    S jmp near across
    to across, across.2
back:
    S mov byte [.rewritten], 0x90
    S jmp .rewritten                    ; as the manuals want it
.rewritten:
    S int3
    ; debug registers: the guest's own, and DR6 knows nothing of the debugger's steps
    S mov eax, 0x12345678
    S mov dr0, rax
    S mov rbx, dr0
    S cmp rax, rbx
    S jne near bad
    S mov rax, dr6
    S test eax, 0x400f
    S jnz near bad
    S mov rax, dr7
    S cmp eax, 0x400
    S jne near bad
    S mov eax, .own_point
    S mov dr3, rax
    S mov eax, 0x440                    ; L3: execution
    S mov dr7, rax
    S nop
    optionally .own_point
    to DEBUG_STEPS, .own_point
.own_point:                             ; the guest's own breakpoint: its handler runs first
    nop
    S mov eax, 0x400
    S mov dr7, rax
    ; The guest's own trap flag, by POPF and by IRET: its handler runs after the next instruction, with the flag in the image.
    S pushfq
    S or dword [rsp], 0x100
    S popfq
    S nop
    optionally .after_popf
    to DEBUG_STEPS
.after_popf:
    S nop
    S push 16
    S lea rax, [rsp + 8]
    S push rax
    S push 0x102
    S push 8
    S push .iret_target
    S iretq
.iret_target:
    S nop
    optionally .after_iret
    to DEBUG_STEPS
.after_iret:
    S nop
    ; IRET with a clean image
    S push 16
    S lea rax, [rsp + 8]
    S push rax
    S push 2
    S push 8
    S push .plain_target
    S iretq
.plain_target:
    S pushfq
    clean [rsp]
    S popfq
    ; MOV SS: the next instruction too is one
    S mov eax, 16
    S mov ss, eax
    S nop
    S mov ss, eax
    S pushfq
    clean [rsp]
    S popfq
    S mov ss, eax
    S int 0x30
    to INT_STEPS
    ; STI with an interrupt pending: held while stepping
    S sti
    S nop
    S cli
    S sti
    S pushfq
    S cli
    clean [rsp]
    S popfq
    S cli
    ; SYSRET, ring 3, SYSCALL; then the same with SFMASK = 0
    S mov qword [come_back], .called_back
    S mov ecx, user
    S mov r11d, 2
    S o64 sysret
    to USER_STEPS
.called_back:
    S mov ecx, 0xc0000084
    S xor eax, eax
    S xor edx, edx
    S wrmsr
    S mov qword [come_back], .called_again
    S mov ecx, user
    S mov r11d, 2
    S o64 sysret
    to USER_STEPS
.called_again:
    S pushfq
    clean [rsp]
    S popfq
    ; HLT: the pending interrupt comes when the stepping is over
    S mov edx, kApic
    S mov dword [rdx + 0x380], 1000
    S sti
    S hlt
    to after_halt
global after_halt, halt_over
after_halt:
    nop
halt_over:
    cli
    cmp dword [ticks], 0
    je bad
    cmp dword [ints], 3                 ; INT n twice, INT3
    jne bad
    cmp dword [skipped], 3              ; #UD, #DE, #PF
    jne bad
    cmp dword [debugs], 3               ; the breakpoint, two traps
    jne bad
    mov esi, text_long
    call print
    jmp downwards

across_area:
    times 4096 - 3 - ($ - $$) % 4096 nop
across:
    mov rax, 0x1122334455667788         ; 10 bytes, 3 of them on the first page
.2: jmp near back

subroutine:
    nop
.2: ret

; -- handlers -------------------------------------------------------------------------------------------------------------------
h_int:
    test dword [rsp + 16], 0x100
.2: jnz near bad
.3: inc dword [ints]
.4: iretq
%macro skipper 2                         ; name, bytes of the instruction that faults
%1:
    test dword [rsp + 16], 0x100
.2: jnz near bad
.3: inc dword [skipped]
.4: add qword [rsp], %2
.5: iretq
%endmacro
skipper h_ud, 2
skipper h_de, 3
h_pf:
    add rsp, 8
.2: test dword [rsp + 16], 0x100
.3: jnz near bad
.4: inc dword [skipped]
.5: add qword [rsp], 7
.6: iretq
h_db:
    push rax
.2: mov rax, dr6
.3: test eax, 0x4008                    ; BS or B3
.4: jz near bad
.5: and dword [rsp + 24], ~0x100
.6: or dword [rsp + 24], 1 << 16        ; RF
.7: mov eax, 0xffff0ff0
.8: mov dr6, rax
.9: inc dword [debugs]
.10: pop rax
.11: iretq
h_timer:
    push rax
    inc dword [ticks]
    mov eax, kApic
    mov dword [rax + 0xb0], 0
    pop rax
    iretq
called:                                 ; from ring 3, RFLAGS in R11, those that it saw in R12
    mov rsp, stack_top
.2: or r11d, r12d
.3: test r11d, 0x100
.4: jnz near bad
.5: jmp [come_back]
user:
    pushfq
.2: pop r12
.3: nop
.4: nop
.5: syscall

global bad
bad:                                    ; how far it came: the counters as digits
    xor ecx, ecx
.digit:
    mov eax, [ints + rcx * 4]
    add [counts + rcx], al
    inc ecx
    cmp ecx, 4
    jb .digit
    mov esi, text_bad
    call print
    mov eax, 0x2000
    mov dx, 0x404
    out dx, ax
.forever:
    cli
    hlt
    jmp .forever
print:                                  ; RSI
    mov dx, 0x3f8
.next:
    lodsb
    test al, al
    jz .done
    out dx, al
    jmp .next
.done:
    ret

; -- down to real mode --------------------------------------------------------------------------------------------------------
%define STEPS .steps2
global downwards
downwards:
    xor edi, edi
    mov dword [rdi + 0 * 4], (h16_de - real_base) | 0x800 << 16
    mov dword [rdi + 3 * 4], (h16_int - real_base) | 0x800 << 16
    mov dword [rdi + 6 * 4], (h16_ud - real_base) | 0x800 << 16
    mov dword [rdi + 0x30 * 4], (h16_int - real_base) | 0x800 << 16
global real_begin
real_begin:
    S nop
    S jmp dword far [compatibility]
bits 32
compatible:
    S mov eax, cr0
    S and eax, 0x7fffffff
    S mov cr0, eax
    S mov ecx, 0xc0000080
    S rdmsr
    S and eax, ~0x100
    S wrmsr
    S pushfd
    S test dword [esp], 0x100
    S jnz near bad32
    S popfd
    S mov eax, cr4
    S and eax, ~0x20
    S mov cr4, eax
    S push ss
    S pop ss                            ; POP SS: the next instruction too is one
    S nop
    S jmp 56:(protected16 - real_base)
bad32:
    mov al, '!'
    mov dx, 0x3f8
    out dx, al
    hlt
    jmp bad32

section .real progbits alloc exec write align=16
real_base:
bits 16
protected16:
    S mov ax, 64
    S mov ds, ax
    S mov es, ax
    S mov ss, ax
    S nop
    S lidt [real_idt - real_base + 0x8000]
    S mov eax, cr0
    S and al, 0xfe
    S mov cr0, eax
    S jmp 0x800:(real16 - real_base)
real16:
    S mov ax, 0x800
    S mov ds, ax
    S mov es, ax
    S mov ss, ax
    S mov sp, 0x7000
    S pushf
    S pop ax
    S test ax, 0x100
    S jnz near bad16
    S push ax
    S popf
    S pushfd
    S pop eax
    S test ax, 0x100
    S jnz near bad16
    S int 0x30
    to h16_int, h16_int.2, h16_int.3, h16_int.4, h16_int.5, h16_int.6, h16_int.7
    S int3
    to h16_int, h16_int.2, h16_int.3, h16_int.4, h16_int.5, h16_int.6, h16_int.7
    S ud2
    to h16_ud, h16_ud.2, h16_ud.3, h16_ud.4, h16_ud.5, h16_ud.6, h16_ud.7, h16_ud.8
    S push ss
    S pop ss
    S pushf
    S pop ax
    S test ax, 0x100
    S jnz near bad16
    S mov si, real_base - real_base
    S mov di, 0x6000
    S mov cx, 30
    S rep movsb
    S jcxz .copied
    jmp near bad16
.copied:
    S in al, 0x61
    S xor eax, eax
    S cpuid
    S sti
    S nop
    S cli
    S call 0x900:(far_routine - real_base - 0x1000)
    to far_routine, far_routine.2
    S nop
    ; IRET with a clean image
    S pushf
    S push cs
    S push .target - real_base
    S iret
.target:
    S nop
    to real_over
global real_over
real_over:
    cmp word [ints16 - real_base], 3
    jne bad16
    mov si, text_real - real_base
.print:
    lodsb
    test al, al
    jz .off
    mov dx, 0x3f8
    out dx, al
    jmp .print
.off:
    mov ax, 0x2000
    mov dx, 0x404
    out dx, ax
    cli
    hlt
bad16:
    mov si, text_bad16 - real_base
    jmp real_over.print
h16_int:
    push bp
.2: mov bp, sp
.3: test word [bp + 6], 0x100
.4: jnz bad16
.5: inc word [ints16 - real_base]
.6: pop bp
.7: iret
h16_de:
    jmp bad16
h16_ud:
    push bp
.2: mov bp, sp
.3: test word [bp + 6], 0x100
.4: jnz bad16
.5: inc word [ints16 - real_base]
.6: add word [bp + 2], 2
.7: pop bp
.8: iret
align 8
real_idt:
    dw 0x3ff
    dd 0
ints16: dw 0
text_real: db "torture: real OK", 13, 10, 0
text_bad16: db "torture: real FAIL", 13, 10, 0
    times 0x1000 + 64 - ($ - $$) db 0x90
far_routine:
    nop
.2: retf

section .data align=8
gdt:
    dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff
    dq 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff ; ring 3
    dq 0x00cf9b000000ffff               ; 48: 32-bit code
    dq 0x00009b008000ffff               ; 56: 16-bit code at 0x8000
    dq 0x000093000000ffff               ; 64: 16-bit data
gdt_pointer:
    dw 9 * 8 - 1
    dq gdt
idt_pointer:
    dw 4095
    dq idt
compatibility:
    dd compatible
    dw 48
align 4
gates:
    dd 0, h_de, 1, h_db, 3, h_int, 6, h_ud, 14, h_pf, 0x30, h_int, kTimer, h_timer
gates_end:
come_back: dq torture_begin             ; set before use
global ints, skipped, debugs, ticks
ints: dd 0
skipped: dd 0
debugs: dd 0
ticks: dd 0
text_long: db "torture: OK", 13, 10, 0
text_bad: db "torture: FAIL after interrupts, faults, debug exceptions, ticks: "
counts: db "0000", 13, 10, 0

section .bss nobits align=4096
pml4: resb 4096
pdpt: resb 4096
directories: resb 4 * 4096
idt: resb 4096
scratch: resb 4096
stack: resb 4096
stack_top:
