; SPDX-License-Identifier: Apache-2.0
; Every CPUID leaf, and every instruction that a guest must not have.
%include "lib.inc"
%macro each_leaf 2                  ; first, count
    mov r12d, %1
    mov r13d, %2
%%leaf:
    xor r14d, r14d
%%subleaf:
    mov eax, r12d
    mov ecx, r14d
    cpuid
    inc qword [queries]
    inc r14d
    cmp r14d, 16
    jb %%subleaf
    mov eax, r12d                   ; and one that is no number of anything
    mov rcx, 0xfffffffffffffff0
    cpuid
    inc qword [queries]
    inc r12d
    dec r13d
    jnz %%leaf
%endmacro
main:
    each_leaf 0, 0x41
    each_leaf 0x40000000, 0x41
    each_leaf 0x80000000, 0x41
    each_leaf 0xfffffff0, 0x10
    mov r13d, 4096
.random:
    call random
    mov rcx, rax
    ror rcx, 32
    cpuid
    inc qword [queries]
    dec r13d
    jnz .random

    mov eax, 1
    cpuid
    test ecx, 1 << 5
    must jz, "VMX is shown"
    test ecx, 1 << 3
    must jz, "MONITOR is shown"
    test ecx, 1 << 31
    must jnz, "no hypervisor is shown"
    mov eax, 0x80000001
    cpuid
    test ecx, 1 << 2
    must jz, "SVM is shown"
    mov eax, 0x8000000a
    cpuid
    or eax, ebx
    or eax, edx
    must jz, "SVM's own leaf is shown"
    mov eax, 0x40000000
    cpuid
    cmp ebx, 'Micr'
    must je, "no Hyper-V interface"

    mov edi, kFree
    must_fault 6, vmxon [rdi]
    must_fault 6, vmxoff
    must_fault 6, vmptrld [rdi]
    must_fault 6, vmclear [rdi]
    must_fault 6, vmlaunch
    must_fault 6, vmread rax, rbx
    must_fault 6, vmwrite rax, rbx
    must_fault 6, invept rax, [rdi]
    must_fault 6, invvpid rax, [rdi]
    mov eax, kFree
    must_fault 6, vmrun
    must_fault 6, vmload
    must_fault 6, vmsave
    must_fault 6, clgi
    must_fault 6, stgi
    must_fault 6, skinit
    xor ecx, ecx
    must_fault 6, invlpga rax, ecx
    must_fault 6, vmcall                ; not before the hypercall interface is set up
    must_fault 6, vmmcall
    xor edx, edx
    must_fault 6, monitor
    must_fault 6, mwait
    must_fault 6, rsm
    must_fault 6, xsetbv                ; CR4.OSXSAVE is off
    mov rax, cr4
    or eax, 1 << 13                     ; VMXE
    must_fault 13, mov cr4, rax
    mov rax, cr4
    or eax, 1 << 22                     ; PKE: not offered
    must_fault 13, mov cr4, rax
    mov rax, cr0
    mov rcx, 1 << 40
    mov r12, rax
    or rax, rcx
    guarded mov cr0, rax                ; software QEMU ignores the upper half when it is not intercepted
    mov cr0, r12
    mov rax, cr0
    btr rax, 0                          ; PE off with paging on
    must_fault 13, mov cr0, rax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 1 << 12                     ; SVME
    must_fault 13, wrmsr
    mov eax, 16
    must_fault 13, mov cr8, rax
    must_run wbinvd
    must_run invd
    mov rax, cr4
    or eax, 1 << 18
    must_run mov cr4, rax
    xor ecx, ecx
    xor edx, edx
    xor eax, eax
    must_fault 13, xsetbv               ; x87 cannot be switched off
    mov eax, 5
    must_fault 13, xsetbv               ; AVX without SSE
    mov eax, -1
    mov edx, -1
    must_fault 13, xsetbv
    mov eax, 7                          ; as good for XCR0 as can be
    xor edx, edx
    mov ecx, 1
    must_fault 13, xsetbv               ; XCR1
    say "cpuid-all: "
    mov rax, [queries]
    call print_dec
    say " queries", 13, 10
    finish "cpuid-all"
    ret
section .bss
queries: resq 1
