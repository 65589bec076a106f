; SPDX-License-Identifier: Apache-2.0
; A guest that measures what its hypervisor costs, in ticks of the TSC (on the emulators: instructions of guest and host).
; Multiboot 1, ELF32, protected mode without paging. Prints "bench NAME TICKS" lines on COM1, "bench end", then powers off
; through ACPI's PM1a control port; whoever has no such port sees a halt with interrupts masked. scripts/bench runs the same
; file under Ballast and under KVM.
bits 32

kMagic      equ 0x1badb002
kFlags      equ 0
kCom1       equ 0x3f8
kPm1Control equ 0x404
kTouchFrom  equ 32 << 20        ; physical, up to 36 MiB: nothing else lies there; kvmbench has these pages in the host
kFreshFrom  equ 40 << 20        ; up to 44 MiB: these it has not
kTouchPages equ 1024
kZeroFrom   equ 48 << 20        ; a page to zero by ourselves
kZeroWords  equ 512             ; what zeroing 4 KiB takes by REP STOSQ, here by REP STOSD
kCpuids     equ 100
kRounds     equ 32

section .multiboot
align 4
    dd kMagic, kFlags, -(kMagic + kFlags)

section .text
global _start
_start:
    cli
    mov esp, stack_end

; One CPUID exit, round trip: the least of kRounds rounds of kCpuids.
    mov dword [least], -1
    mov ebp, kRounds
.round:
    rdtsc
    mov [begin], eax
    mov edi, kCpuids
.cpuid:
    xor eax, eax
    cpuid
    dec edi
    jnz .cpuid
    rdtsc
    sub eax, [begin]
    cmp eax, [least]
    jae .no_less
    mov [least], eax
.no_less:
    dec ebp
    jnz .round
    mov eax, [least]
    xor edx, edx
    mov ecx, kCpuids
    div ecx
    mov esi, name_cpuid
    call report

; One port read, the mean of kCpuids: the line status register.
    rdtsc
    mov [begin], eax
    mov ebp, kCpuids
    mov dx, kCom1 + 5
.port:
    in al, dx
    dec ebp
    jnz .port
    rdtsc
    sub eax, [begin]
    xor edx, edx
    mov ecx, kCpuids
    div ecx
    mov esi, name_port
    call report

; First touch of a 4 KiB page: the mean of kTouchPages, then the same pages again for what a touch costs by itself.
    mov ebx, kTouchFrom
    mov esi, name_touch
    call touch
    mov esi, name_again
    call touch
    mov ebx, kFreshFrom
    mov esi, name_fresh
    call touch

; What zeroing a page costs on this machine, for those who want it apart.
    mov byte [kZeroFrom], 1
    xor eax, eax
    mov edi, kZeroFrom
    mov ecx, kZeroWords
    rdtsc
    mov [begin], eax
    rep stosd
    rdtsc
    sub eax, [begin]
    mov esi, name_zero
    call report

    mov esi, text_end
    call print
    mov dx, kPm1Control
    mov ax, 0x2000              ; SLP_EN with sleep type 0, S5 in the tables Ballast gives
    out dx, ax
.halt:
    hlt
    jmp .halt

; esi: name, ebx: address. Writes one byte into each page and reports the mean.
touch:
    rdtsc
    mov [begin], eax
    mov edi, ebx
    mov ecx, kTouchPages
.page:
    mov byte [edi], 1
    add edi, 4096
    dec ecx
    jnz .page
    rdtsc
    sub eax, [begin]
    xor edx, edx
    mov ecx, kTouchPages
    div ecx
; esi: name, eax: number
report:
    push eax
    push esi
    mov esi, text_bench
    call print
    pop esi
    call print
    pop eax
    mov edi, digits_end
    mov ecx, 10
.digit:
    xor edx, edx
    div ecx
    add dl, '0'
    dec edi
    mov [edi], dl
    test eax, eax
    jnz .digit
    mov esi, edi
    call print
    mov esi, text_newline
; esi: text that ends with a zero
print:
    mov dx, kCom1 + 5
.busy:
    in al, dx
    test al, 0x20               ; transmitter holding register empty
    jz .busy
    lodsb
    test al, al
    jz .done
    mov dx, kCom1
    out dx, al
    jmp print
.done:
    ret

section .data
text_bench:   db "bench ", 0
text_newline: db 13, 10, 0
text_end:     db "bench end", 13, 10, 0
name_cpuid:   db "cpuid ", 0
name_touch:   db "first-touch ", 0
name_again:   db "second-touch ", 0
name_fresh:   db "fresh-touch ", 0
name_zero:    db "zeroing ", 0
name_port:    db "port-read ", 0
digits:       times 10 db 0
digits_end:   db 0

section .bss
align 16
least:  resd 1
begin:  resd 1
        resb 4096
stack_end:
