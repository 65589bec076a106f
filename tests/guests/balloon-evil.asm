; SPDX-License-Identifier: Apache-2.0
; Dynamic Memory as a liar sees it. Wants 64 MiB at start, a minimum of 16 MiB and a short idle time, so that the host soon
; asks for pages. Variants:
;   h  honest: gives 4096 pages, touches them in every way, gets them back
;   la, lb … lm  lies: pages it does not own, the same twice, ranges past its memory, more than was asked, counts that lie
;   n  nonsense that is no provable lie: answers that nobody asked for, absurd reports
;   r  gives away the pages that it talks through: ring, hypercall page, message page, and its own page tables' neighbour
%include "lib.inc"
%include "hyperv.inc"
kGiven equ 0x1000                           ; page numbers: 16 MiB
kEnd   equ 0x4000                           ; 64 MiB
; answer COUNT, RANGE...: a balloon response; each range is a 64-bit word
%macro answer 1-*
    mov dword [balloon_answer + 12], %1 * 2
    mov edi, balloon_answer + 16
%assign sent 0
%rep %0 - 1
%rotate 1
    mov rax, %1
    stosq
%assign sent sent + 1
%endrep
    mov word [balloon_answer + 2], 16 + sent * 8
    mov esi, balloon_answer
    mov ecx, 16 + sent * 8
    call ring_send
%endmacro
%define range(page, pages) ((page) | (pages) << 40)
; One lie a life: the second letter of the command line chooses it. After it nothing more may be asked of this guest, its
; channel is dead, and opening it again does not help.
%macro lie 3-*                              ; letter, what it is (for the reader), COUNT, RANGE...
    cmp byte [which], %1
    jne %%other
    call ask_for_request
    answer %{3:-1}
    call must_be_ignored
    jmp lied
%%other:
%endmacro
; The same, after a true answer that gives page 2000h and says that more follows.
%macro lie_after_truth 4                    ; letter, what it is, COUNT, RANGE
    cmp byte [which], %1
    jne %%other
    call ask_for_request
    mov dword [balloon_answer + 12], 1 * 2 + 1
    mov rax, range(0x2000, 1)
    mov [balloon_answer + 16], rax
    mov word [balloon_answer + 2], 24
    mov esi, balloon_answer
    mov ecx, 24
    call ring_send
    answer %3, %4
    call must_be_ignored
    jmp lied
%%other:
%endmacro
main:
    call hyperv_setup
    call vmbus_connect
    mov dword [balloon_answer], 7
    cmp byte [variant], 'h'
    je honest
    cmp byte [variant], 'r'
    je give_rings
    cmp byte [variant], 'n'
    je nonsense
    mov eax, [boot_info]
    mov eax, [rax + 16]
    mov al, [rax + 1]
    mov [which], al
    lie 'a', "past the end", 1, range(kEnd, 1)
    lie 'b', "far past the end", 1, range(0xffffffffff, 0xffffff)
    lie 'c', "a device", 1, range(0xfee00, 1)
    lie 'd', "the video hole", 1, range(0xa0, 1)
    lie 'e', "half past the end", 1, range(kEnd - 1, 2)
    lie 'f', "twice in one answer", 2, range(0x2000, 1), range(0x2000, 1)
    lie_after_truth 'g', "given before", 1, range(0x2000, 1)
    lie_after_truth 'h', "over what was given before", 1, range(0x1fff, 3)
    lie 'i', "hot-add space", 1, range(0x100000, 16)
    lie 'j', "more than was asked", 1, range(kGiven, 0x2c00)
    lie 'k', "a count beyond the message", 400, range(0x2400, 1)
    lie 'l', "a huge count", 0x7fffffff, range(0x2401, 1)
    lie 'm', "nothing, many times", 4, range(0x2800, 0), range(0xffffffff, 0), 0, range(0x2800, 0)
    call failed
    say "FAIL balloon-evil: no such lie", 13, 10
    ret
lied:
    say "balloon-evil: lied", 13, 10
    finish "balloon-evil"
    ret

nonsense:
    ; answers that nobody asked for
    call channel_open
    call dm_handshake
    answer 1, range(0x2900, 64)
    mov word [balloon_answer], 9                ; "given back": to no such request
    answer 0
    mov word [balloon_answer], 11               ; hot-add response
    answer 0, -1
    mov word [balloon_answer], 7
    mov eax, 50
    call wait_ms
    mov rax, 0x2900 << 12
    must_run mov rcx, [rax]
    call channel_close
    ; reports that lie
    call channel_open
    call dm_handshake
    mov rax, -1
    call dm_report
    mov rax, 1 << 63
    call dm_report
    mov eax, 1500
    call wait_ms
    xor eax, eax
    call dm_report
    mov eax, 50
    call wait_ms
    call channel_close
    finish "balloon-evil"
    ret

honest:
    mov rbx, kGiven << 12
    mov rax, 0x1122334455667788
    mov [rbx], rax
    call ask_for_request
    mov ecx, [received + 8]
    cmp ecx, kEnd - kGiven
    jbe .fits
    mov ecx, kEnd - kGiven
.fits:
    mov [given], rcx
    mov rax, rcx
    shl rax, 40
    or rax, kGiven
    mov [word_given], rax
    answer 1, [word_given]
    say "balloon-evil: gave "
    mov rax, [given]
    call print_dec
    say " pages", 13, 10
    mov eax, 50
    call wait_ms
    must_fault 13, mov rax, [rbx]
    must_fault 13, mov [rbx], rax
    must_fault 13, lock inc dword [rbx + 0xffc]
    must_fault 13, jmp rbx
    must_fault 13, movdqu xmm0, [rbx + 16]
    mov rdi, rbx
    mov edx, 0x80
    mov ecx, 1
    must_fault 13, rep insb
    mov rsi, rbx
    mov ecx, 1
    must_fault 13, rep outsb
    mov rsi, rbx
    mov edi, kOutput
    mov ecx, 1
    must_fault 13, rep movsb
    mov rax, [given]
    lea rax, [rax + kGiven - 1]
    shl rax, 12
    must_fault 13, mov cl, [rax + 0xfff]
    mov qword [pdpt + 9 * 8], (kGiven << 12) + 7     ; page tables there
    mov rax, cr3
    mov cr3, rax
    mov rax, 9 << 30
    must_fault 13, mov rcx, [rax]
    mov qword [pdpt + 9 * 8], 0
    mov rax, cr3
    mov cr3, rax
    mov ecx, 0x5c                           ; input of a hypercall there
    mov rdx, rbx
    xor r8d, r8d
    call hypercall
    cmp ax, 5
    must je, "a hypercall reads its input from a ballooned page"
    mov ecx, 0x40000001                     ; the hypercall page there
    xor edx, edx
    mov eax, (kGiven << 12) + 1
    must_fault 13, wrmsr
    mov ecx, 0x40000021                     ; the reference page there: without effect
    mov eax, (kGiven << 12) + 1
    guarded wrmsr
    xor eax, eax
    guarded wrmsr
    say "balloon-evil: touched", 13, 10
    ; what is asked in between: nothing more to give
.asked:
    call ring_take
    jz .none
    cmp word [received], 6
    jne .asked
    answer 0
    jmp .asked
.none:
    mov eax, 0x8000                         ; it needs much more than it has now
    call dm_report
    mov eax, 8
    call ring_wait
    must jnz, "nothing is given back"
    mov rax, [received + 16]
    mov rcx, 0xffffffffff
    and rcx, rax
    cmp rcx, kGiven
    must je, "the first page given back is not the first one given"
    must_run mov rax, [rbx]
    test rax, rax
    must jz, "a page came back with somebody's bytes"
    must_run mov [rbx], rbx
    mov word [balloon_answer], 9
    answer 0
    finish "balloon-evil"
    ret

give_rings:
    call ask_for_request
    answer 4, range(kHypercallPage >> 12, 1), range(kMessagePage >> 12, 2), range(kRing >> 12, 5), range((kRing >> 12) + 5, 5)
    mov eax, 50
    call wait_ms
    mov ecx, 0x1005d
    mov edx, [dm_connection]
    call hypercall
    cmp qword [last_vector], 13
    must je, "the hypercall page was given away but runs"
    mov eax, kRing
    must_fault 13, mov ecx, [rax]
    mov eax, kMessagePage
    must_fault 13, mov ecx, [rax]
    ; messages and signals to nowhere: through the instruction itself
    mov r12d, 100
.send:
    mov esi, close
    mov edi, kInput
    mov dword [rdi], 4
    mov dword [rdi + 4], 0
    mov dword [rdi + 8], 1
    mov dword [rdi + 12], 40
    add edi, 16
    mov esi, initiate_contact
    mov ecx, 40
    rep movsb
    mov ecx, 0x5c
    mov edx, kInput
    xor r8d, r8d
    call raw_vmcall
    call raw_vmmcall
    mov ecx, 0x1005d
    mov edx, [dm_connection]
    call raw_vmcall
    mov ecx, 0x1005d
    mov edx, [dm_connection]
    call raw_vmmcall
    dec r12d
    jnz .send
    mov eax, 1500
    call wait_ms
    finish "balloon-evil"
    ret

; Opens the channel and idles until the host wants pages: [received] holds the request
ask_for_request:
    call channel_open
    call dm_handshake
    mov eax, 100
    call dm_report
    mov eax, 6
    call ring_wait
    must jnz, "the host asks for nothing"
    ret
must_be_ignored:
    mov eax, 100
    call dm_report
    mov eax, 1500                               ; longer than a tick of the balancer
    call wait_ms
    call ring_take
    must jz, "the host still talks to a liar"
    call channel_close
    call channel_open                           ; answered as ever, but nobody is there
    mov esi, dm_version
    mov ecx, 16
    call ring_send
    mov eax, 1500
    call wait_ms
    call ring_take
    must jz, "the host talks to a liar that has opened its channel again"
    call channel_close
    ret
section .data
align 8
balloon_answer: times 64 dq 0
section .bss
which: resb 1
given: resq 1
word_given: resq 1
