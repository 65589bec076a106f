; SPDX-License-Identifier: Apache-2.0
; Resets itself 20 times, in each of the four ways a PC knows, then powers off. CMOS RAM keeps the count: memory must not.
%include "lib.inc"
kIndex equ 0x50
kResets equ 20
main:
    mov edi, kFree
    cmp dword [rdi], 0
    must je, "memory survived a reset"
    mov dword [rdi], 0xdeadbeef
    mov al, kIndex
    out 0x70, al
    in al, 0x71
    movzx ebx, al
    cmp ebx, kResets
    jae .done
    lea eax, [rbx + 1]
    out 0x71, al
    and ebx, 3
    jmp [.ways + rbx * 8]
.register:
    mov dx, 0x433
    mov al, 1
    out dx, al
    jmp .late
.keyboard:
    mov al, 0xfe
    out 0x64, al
    jmp .late
.control:
    mov dx, 0xcf9
    mov al, 6
    out dx, al
    jmp .late
.fast:
    mov al, 1
    out 0x92, al
.late:
    say "FAIL still here after the reset", 13, 10
    ret
.done:
    say "reset-loop: "
    mov eax, ebx
    call print_dec
    say " resets", 13, 10
    finish "reset-loop"
    ret
align 8
.ways: dq .register, .keyboard, .control, .fast
