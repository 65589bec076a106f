; SPDX-License-Identifier: Apache-2.0
; The local APIC as xAPIC and as x2APIC: timer in its three modes, interrupts to itself, priorities, the ways from
; one mode to the other; and the I/O APIC with the 8254 on a pin. Times are the TSC's.
%include "lib.inc"
kApic      equ 0xfee00000
kIoApic    equ 0xfec00000
kTimer     equ 0x40                 ; vectors
kSelf      equ 0x41
kLow       equ 0x31
kPin       equ 0x42
kApicBase  equ 0x1b
kDeadline  equ 0x6e0
kId        equ 0x20                 ; registers, SDM vol 3A, "Local APIC Register Address Map"
kVersion   equ 0x30
kTpr       equ 0x80
kPpr       equ 0xa0
kEoi       equ 0xb0
kSvr       equ 0xf0
kIsr2      equ 0x120
kIrr2      equ 0x220
kEsr       equ 0x280
kIcr       equ 0x300
kLvtTimer  equ 0x320
kInitial   equ 0x380
kCurrent   equ 0x390
kDivide    equ 0x3e0
kMasked    equ 1 << 16
kPeriodic  equ 1 << 17
kByDeadline equ 1 << 18
kToSelf    equ 1 << 18              ; ICR's shorthand

%macro get 1                        ; eax = register
    mov edi, %1
    call apic_read
%endmacro
%macro set 2                        ; register, value
    mov edi, %1
    mov eax, %2
    call apic_write
%endmacro
%macro handler 1                    ; vector: counts and ends
    mov edi, idt + %1 * 16
    mov eax, handler_ %+ %1
    mov [rdi], ax
    shr eax, 16
    mov [rdi + 6], ax
%endmacro
%macro counted 3                    ; vector, least, most, and the text: so many since the last look
    xor eax, eax
    xchg rax, [counts + %1 * 8]
    sub rax, %2
    cmp rax, %3 - %2
%endmacro
%macro for_ms 1                     ; with interrupts on
    sti
    mov eax, %1
    call wait_ms
    cli
%endmacro

main:
    handler kTimer
    handler kSelf
    handler kLow
    handler kPin
    mov ecx, 0x40000023             ; frequency of the APIC's timer
    rdmsr
    xor edx, edx
    mov ecx, 1000
    div ecx
    mov [per_ms], eax

    mov ecx, kApicBase
    rdmsr
    and eax, 0xfffffd00             ; base, enabled, BSP; not x2APIC
    cmp eax, kApic | 1 << 11 | 1 << 8
    must je, "apics: IA32_APIC_BASE at the start"
    call all
    say "apics: xAPIC", 13, 10
    call io_apic

    mov eax, 1
    cpuid
    bt ecx, 21
    jnc .end
    ; into x2APIC; and no other way out of it than through disabled
    mov eax, kApic | 1 << 11 | 1 << 10 | 1 << 8
    call base_write
    mov byte [x2apic], 1
    call all
    say "apics: x2APIC", 13, 10
    mov eax, kApic | 1 << 11 | 1 << 8
    xor edx, edx
    mov ecx, kApicBase
    must_fault 13, wrmsr
    mov ecx, 0x80e                  ; DFR is gone
    must_fault 13, rdmsr
    mov ecx, 0x802                  ; the ID is read-only
    must_fault 13, wrmsr
    mov ecx, 0x80b                  ; EOI takes 0 only
    mov eax, 1
    must_fault 13, wrmsr
    mov eax, kApic | 1 << 8
    call base_write
    mov ecx, 0x802
    must_fault 13, rdmsr
    mov eax, kApic | 1 << 11 | 1 << 8
    call base_write
    mov byte [x2apic], 0
    call all
    say "apics: xAPIC again", 13, 10
.end:
    finish "apics"
    ret

all:                                ; what both modes do alike
    set kSvr, 0x1ff                 ; on, spurious vector FFh
    get kVersion
    and eax, 0xff
    sub eax, 0x10
    cmp eax, 0x10
    must jb, "apics: version"
    get kId
    test eax, eax
    must jz, "apics: ID"
    set kTpr, 0
    set kDivide, 0xb                ; by 1

    ; one-shot
    set kLvtTimer, kTimer
    imul eax, [per_ms], 10
    mov edi, kInitial
    call apic_write
    get kCurrent
    mov [number], eax
    for_ms 4
    get kCurrent
    cmp eax, [number]
    must jb, "apics: the timer does not count down"
    counted kTimer, 0, 0
    must jbe, "apics: the timer is early"
    for_ms 10
    counted kTimer, 1, 1
    must jbe, "apics: one-shot"
    get kCurrent
    test eax, eax
    must jz, "apics: a one-shot that has ended counts"
    for_ms 12
    counted kTimer, 0, 0
    must jbe, "apics: a one-shot comes again"
    ; periodic, masked, and stopped
    set kLvtTimer, kTimer | kPeriodic
    imul eax, [per_ms], 4
    mov edi, kInitial
    call apic_write
    for_ms 42
    counted kTimer, 9, 11
    must jbe, "apics: periodic"
    set kLvtTimer, kTimer | kPeriodic | kMasked
    for_ms 12
    counted kTimer, 0, 1
    must jbe, "apics: masked"
    set kLvtTimer, kTimer | kPeriodic
    set kInitial, 0
    for_ms 12
    counted kTimer, 0, 1
    must jbe, "apics: stopped"
    ; by the TSC
    mov eax, 1
    cpuid
    bt ecx, 24
    jnc .no_deadline
    set kLvtTimer, kTimer | kByDeadline
    mov ecx, 0x40000022
    rdmsr
    xor edx, edx
    mov ecx, 100
    div ecx                         ; ticks in 10 ms
    mov ebx, eax
    rdtsc
    shl rdx, 32
    or rax, rdx
    add rax, rbx
    mov rdx, rax
    shr rdx, 32
    mov ecx, kDeadline
    wrmsr
    for_ms 4
    counted kTimer, 0, 0
    must jbe, "apics: the deadline is early"
    for_ms 10
    counted kTimer, 1, 1
    must jbe, "apics: deadline"
    mov ecx, kDeadline
    rdmsr
    or eax, edx
    must jz, "apics: a deadline that is past reads 0"
    ; one in the past comes at once, and 0 disarms
    mov eax, 1
    xor edx, edx
    wrmsr
    for_ms 2
    counted kTimer, 1, 1
    must jbe, "apics: a deadline in the past"
.no_deadline:
    set kLvtTimer, kTimer | kMasked

    ; to itself: not before interrupts are on, not below the task's priority, the higher one first
    set kIcr, kSelf | kToSelf
    get kIrr2
    test eax, 1 << (kSelf - 0x40)
    must jnz, "apics: an interrupt that waits is not in IRR"
    for_ms 2
    counted kSelf, 1, 1
    must jbe, "apics: to itself"
    set kTpr, 0x40
    set kIcr, kSelf | kToSelf
    for_ms 2
    counted kSelf, 0, 0
    must jbe, "apics: against the task's priority"
    get kPpr
    cmp eax, 0x40
    must je, "apics: PPR"
    set kIcr, kLow | kToSelf
    mov qword [order], 0
    set kTpr, 0
    for_ms 2
    cmp qword [order], kSelf << 8 | kLow
    must je, "apics: order"
    counted kSelf, 1, 1
    must jbe, "apics: behind the task's priority"
    counted kLow, 1, 1
    must jbe, "apics: the low one"
    ; CR8 is the same priority
    mov eax, 4
    mov cr8, rax
    get kTpr
    cmp eax, 0x40
    must je, "apics: CR8 and TPR"
    xor eax, eax
    mov cr8, rax
    cmp byte [x2apic], 0
    je .end
    mov ecx, 0x83f                  ; SELF IPI
    mov eax, kSelf
    xor edx, edx
    wrmsr
    for_ms 2
    counted kSelf, 1, 1
    must jbe, "apics: SELF IPI"
.end:
    get kIsr2
    test eax, eax
    must jz, "apics: in service although all has been ended"
    ret

io_apic:                            ; the 8254 is ISA interrupt 0, and that is pin 2
    mov r8d, kIoApic
    mov dword [r8], 1
    mov eax, [r8 + 0x10]
    shr eax, 16
    and eax, 0xff
    cmp eax, 23
    must je, "apics: 24 pins"
    mov dword [r8], 0x10 + 2 * 2 + 1
    mov dword [r8 + 0x10], 0
    mov dword [r8], 0x10 + 2 * 2
    mov dword [r8 + 0x10], kPin
    mov al, 0x34                    ; channel 0, mode 2
    out 0x43, al
    mov ax, 11932                   ; 10 ms
    out 0x40, al
    mov al, ah
    out 0x40, al
    for_ms 105
    counted kPin, 9, 12
    must jbe, "apics: the 8254's interrupts"
    mov dword [r8], 0x10 + 2 * 2
    mov dword [r8 + 0x10], kPin | kMasked
    for_ms 25
    counted kPin, 0, 1
    must jbe, "apics: a masked pin"
    ret

base_write:                         ; eax = IA32_APIC_BASE
    xor edx, edx
    mov ecx, kApicBase
    must_run wrmsr
    ret
apic_read:                          ; edi = register: eax
    cmp byte [x2apic], 0
    jne .msr
    mov ecx, kApic
    mov eax, [rcx + rdi]
    cmp edi, kId
    jne .done
    shr eax, 24
.done:
    ret
.msr:
    mov ecx, edi
    shr ecx, 4
    add ecx, 0x800
    rdmsr
    ret
apic_write:                         ; edi = register, eax
    cmp byte [x2apic], 0
    jne .msr
    mov ecx, kApic
    mov [rcx + rdi], eax
    ret
.msr:
    mov ecx, edi
    shr ecx, 4
    add ecx, 0x800
    xor edx, edx
    wrmsr
    ret

%macro handles 1
align 16
handler_ %+ %1:
    push rax
    push rcx
    push rdx
    push rdi
    inc qword [counts + %1 * 8]
    shl qword [order], 8
    or qword [order], %1
    xor eax, eax
    mov edi, kEoi
    call apic_write
    pop rdi
    pop rdx
    pop rcx
    pop rax
    iretq
%endmacro
    handles kTimer
    handles kSelf
    handles kLow
    handles kPin

section .bss
alignb 8
counts: resq 256
order: resq 1
per_ms: resd 1
number: resd 1
x2apic: resb 1
