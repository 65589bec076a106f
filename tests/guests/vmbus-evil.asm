; SPDX-License-Identifier: Apache-2.0
; VMBus as no driver uses it: page lists that overlap, lie or point nowhere, openings with bad offsets, ring indices out
; of range, packets longer than the ring. After each, an honest channel must still work.
%include "lib.inc"
%include "hyperv.inc"
; bad_gpadl COUNT OF PAGES, range bytes, range count, byte count, byte offset: a list of bad shape must be refused
%macro bad_gpadl 5
    call honest_gpadl
    mov word [gpadl + 16], %2
    mov word [gpadl + 18], %3
    mov dword [gpadl + 20], %4
    mov dword [gpadl + 24], %5
    send_and_wait gpadl, 28 + %1 * 8, 10, "bad GPADL"
    cmp dword [message + 16], 0
%defstr %%given %2, %3, %4, %5
    must jne, {"a GPADL of bad shape is accepted: ", %%given}
%endmacro
%macro bad_open 3                       ; gpadl, target processor, downstream pages
    call fill_open
    mov eax, %1
    mov [open + 16], eax
    mov dword [open + 20], %2
    mov dword [open + 24], %3
    send_and_wait open, 148, 6, "bad open"
    cmp dword [message + 16], 0
%defstr %%given %1, %2, %3
    must jne, {"a bad open is accepted: ", %%given}
%endmacro
; The ring is made bad by the instructions between, then the host is told; the channel must be dead afterwards: a good
; packet gets no answer. Then it is closed, and an honest one works.
%macro bad_ring_begin 0
    call channel_open
%endmacro
%macro bad_ring_end 1
    call signal_host
    mov eax, 50
    call wait_ms
    mov edi, kRing
    mov dword [rdi], 0
    mov dword [rdi + 4], 0
    mov dword [rdi + 0x5000], 0
    mov dword [rdi + 0x5004], 0
    mov esi, dm_version
    mov ecx, 16
    call ring_send
    mov eax, 50
    call wait_ms
    call ring_take
    must jz, {"the channel lives after ", %1}
    call channel_close
    inc qword [rings]
%endmacro

main:
    call hyperv_setup
    ; nothing is answered before the contact
    call honest_gpadl
    send_message gpadl, 28 + 80
    mov eax, 10
    call wait_message
    must jz, "a GPADL is answered before the contact"
    ; versions that do not exist
    mov dword [initiate_contact + 8], 0x00060000
    send_and_wait initiate_contact, 40, 15, "wrong version"
    cmp byte [message + 8], 0
    must je, "a version that does not exist is accepted"
    mov dword [initiate_contact + 8], 0x50003
    mov dword [initiate_contact + 12], 99
    send_and_wait initiate_contact, 40, 15, "wrong processor"
    cmp byte [message + 8], 0
    must je, "a processor that does not exist is accepted"
    mov dword [initiate_contact + 12], 0
    call vmbus_connect
    call honest_channel
    say "vmbus-evil: connected", 13, 10

    bad_gpadl 10, 8 + 80, 0, 40960, 0
    bad_gpadl 10, 8 + 80, 2, 40960, 0
    bad_gpadl 10, 8 + 80, 0xffff, 40960, 0
    bad_gpadl 10, 8 + 80, 1, 0, 0
    bad_gpadl 10, 8 + 80, 1, 40961, 0
    bad_gpadl 10, 8 + 80, 1, 0xffffffff, 0
    bad_gpadl 10, 8 + 80, 1, 40960, 4096
    bad_gpadl 10, 8 + 80, 1, 40960, 0xffffffff
    bad_gpadl 10, 0, 1, 40960, 0
    bad_gpadl 10, 7, 1, 40960, 0
    bad_gpadl 10, 9, 1, 4096, 0
    bad_gpadl 10, 0xfff8, 1, 8190 * 4096, 0             ; more pages than anybody has
    mov rax, -1
    mov [bad_page], rax
    bad_gpadl 10, 8 + 80, 1, 40960, 0                   ; page number -1
    mov qword [bad_page], 0
    ; bodies without a header, and a list whose body lies
    mov dword [body + 12], 0x5eed
    send_message body, 16 + 28 * 8
    call honest_gpadl
    mov word [gpadl + 16], 8 + 30 * 8
    mov dword [gpadl + 20], 30 * 4096
    send_message gpadl, 28 + 10 * 8                     ; 20 are to follow
    mov eax, [gpadl_id]
    mov [body + 12], eax
    mov rax, -1
    mov [body + 16], rax
    send_and_wait body, 16 + 20 * 8, 10, "lying body"
    cmp dword [message + 16], 0
    must jne, "a body with page -1 is accepted"
    ; a list that is never finished is no ring
    call honest_gpadl
    mov word [gpadl + 16], 8 + 30 * 8
    mov dword [gpadl + 20], 30 * 4096
    send_message gpadl, 28 + 10 * 8
    bad_open [gpadl_id_copy], 0, 5
    ; the same number twice; the same pages twice (allowed: it is the guest's own memory)
    call ring_gpadl
    mov eax, [gpadl_id]
    mov [first_id], eax
    send_and_wait gpadl, 28 + 80, 10, "the same GPADL again"
    cmp dword [message + 16], 0
    must jne, "the same GPADL is accepted twice"
    ; more lists than a channel may have
    mov r12d, 40
.lists:
    call honest_gpadl
    send_and_wait gpadl, 28 + 80, 10, "one more GPADL"
    dec r12d
    jnz .lists
    cmp dword [message + 16], 0
    must jne, "there is no end to GPADLs"
    ; teardown of what is not there, of another channel's, with messages that are too short
    mov eax, [dm_relid]
    mov [teardown + 8], eax
    mov dword [teardown + 12], 0xabcdef
    send_and_wait teardown, 16, 12, "absent teardown"
    mov dword [teardown + 8], 0xffffffff
    mov eax, [first_id]
    mov [teardown + 12], eax
    send_and_wait teardown, 16, 12, "foreign teardown"
    send_message teardown, 12
    send_message gpadl, 20
    send_message open, 100
    send_message close, 8
    send_message close, 0
    say "vmbus-evil: page lists", 13, 10
    call reconnect

    call ring_gpadl
    mov eax, [gpadl_id]
    mov [gpadl_id_copy], eax
    bad_open [gpadl_id_copy], 0, 0
    bad_open [gpadl_id_copy], 0, 1
    bad_open [gpadl_id_copy], 0, 9
    bad_open [gpadl_id_copy], 0, 10
    bad_open [gpadl_id_copy], 0, 11
    bad_open [gpadl_id_copy], 0, 0xffffffff
    bad_open [gpadl_id_copy], 1, 5
    bad_open [gpadl_id_copy], 0xffffffff, 5
    bad_open 0, 0, 5
    bad_open 0xffffffff, 0, 5
    mov dword [kRing + 4], 0xfffffff0                         ; indices that lie from the start
    bad_open [gpadl_id_copy], 0, 5
    mov dword [kRing + 4], 0
    mov dword [kRing + 0x5004], 3
    bad_open [gpadl_id_copy], 0, 5
    mov dword [kRing + 0x5004], 0
    call fill_open                                      ; channels that do not exist
    mov dword [open + 8], 0
    send_message open, 148
    mov dword [open + 8], 0x7ff
    send_message open, 148
    mov dword [open + 8], 0xffffffff
    send_message open, 148
    mov dword [close + 8], 0xffffffff
    send_message close, 12
    mov eax, [dm_relid]
    mov [close + 8], eax
    send_message close, 12                              ; closed already
    call drain_messages
    ; rings in memory that is not there, and in a device
    mov qword [first_page], 0xfee00
    call honest_gpadl
    send_and_wait gpadl, 28 + 80, 10, "a device's pages"
    call fill_open
    send_and_wait open, 148, 6, "open on a device"
    cmp dword [message + 16], 0
    must jne, "a ring in the local APIC is accepted"
    mov eax, 0xfffffff0
    mov [first_page], rax
    call honest_gpadl
    send_and_wait gpadl, 28 + 80, 10, "pages nowhere"
    call fill_open
    send_and_wait open, 148, 6, "open nowhere"
    cmp dword [message + 16], 0
    must jne, "a ring where no memory is is accepted"
    mov qword [first_page], kRing >> 12
    ; open twice
    call honest_channel_open
    call fill_open
    send_and_wait open, 148, 6, "second open"
    cmp dword [message + 16], 0
    must jne, "an open channel is opened again"
    ; its pages are taken back while it is open: the channel ends, the answer comes
    mov eax, [dm_relid]
    mov [teardown + 8], eax
    mov eax, [gpadl_id]
    mov [teardown + 12], eax
    send_and_wait teardown, 16, 12, "teardown of an open ring"
    call signal_host
    call reconnect
    say "vmbus-evil: opens", 13, 10

    bad_ring_begin
    mov dword [kRing], kDataBytes                       ; write index just past the end
    bad_ring_end "a write index past the end"
    bad_ring_begin
    mov dword [kRing], 0xfffffff8
    bad_ring_end "a huge write index"
    bad_ring_begin
    mov dword [kRing], 13
    bad_ring_end "an odd write index"
    bad_ring_begin
    mov dword [kRing], 8                                ; less than a descriptor
    bad_ring_end "a torn packet"
    bad_ring_begin
    mov word [kRing + 4096], 6
    mov word [kRing + 4098], 2
    mov word [kRing + 4100], 0xffff                     ; longer than the ring
    mov dword [kRing], 0x1000
    bad_ring_end "a packet longer than the ring"
    bad_ring_begin
    mov word [kRing + 4096], 6
    mov word [kRing + 4098], 2
    mov word [kRing + 4100], 0x200                      ; longer than what is written
    mov dword [kRing], 0x200
    bad_ring_end "a packet longer than what is written"
    bad_ring_begin
    mov word [kRing + 4096], 6
    mov word [kRing + 4098], 0                          ; payload inside the descriptor
    mov word [kRing + 4100], 4
    mov dword [kRing], 40
    bad_ring_end "a payload that starts too early"
    bad_ring_begin
    mov word [kRing + 4096], 6
    mov word [kRing + 4098], 5                          ; payload behind the packet
    mov word [kRing + 4100], 4
    mov dword [kRing], 40
    bad_ring_end "a payload that starts too late"
    bad_ring_begin
    mov word [kRing + 4096], 6
    mov word [kRing + 4098], 2
    mov word [kRing + 4100], 2 + 8192 / 8 + 1           ; longer than any message
    mov dword [kRing], 16 + 8192 + 8 + 8
    bad_ring_end "a packet longer than any message"
    bad_ring_begin
    mov dword [kRing + 0x5004], 0xfffffff8              ; the other ring's read index, found when the host answers
    mov esi, dm_version
    mov ecx, 16
    call ring_send
    bad_ring_end "a read index out of range"
    say "vmbus-evil: rings", 13, 10

    ; noise through an honest ring: types, lengths, DM messages that lie about their size
    call honest_channel_open
    mov r12d, 3000
.noise:
    mov edi, noise
    mov ecx, 16
.fill:
    call random
    stosq
    loop .fill
    call random
    and eax, 15
    mov [noise], ax
    test r12d, 3
    jz .lie
    mov word [noise + 2], 64
.lie:
    call random
    and eax, 0x78
    lea ecx, [rax + 8]
    mov esi, noise
    call ring_send
.answers:
    call ring_take
    jnz .answers
    ; our own indices, after the host has read: never let the ring overflow
    mov eax, [kRing]
    cmp eax, [kRing + 4]
    je .read
    call signal_host
.read:
    dec r12d
    jnz .noise
    call channel_close
    ; and packets of every type, straight
    call honest_channel_open
    mov r12d, 256
.types:
    mov esi, dm_status
    mov ecx, 48
    call ring_send
    dec r12d
    jnz .types
    call channel_close
    call reconnect
    say "vmbus-evil: noise", 13, 10

    ; more requests than the queue of answers holds, none taken
    mov r12d, 500
.flood:
    mov dword [teardown + 12], r12d
    send_message teardown, 16
    dec r12d
    jnz .flood
    mov r12d, 300
.contacts:
    send_message initiate_contact, 40
    send_message request_offers, 8
    send_message request_offers, 8
    dec r12d
    jnz .contacts
    mov eax, 50
    call wait_ms
    call drain_messages
    mov eax, 50
    call wait_ms
    call drain_messages
    call reconnect
    call honest_channel
    say "vmbus-evil: "
    mov rax, [rings]
    call print_dec
    say " bad rings", 13, 10
    finish "vmbus-evil"
    ret

honest_gpadl:                           ; fills the message, sends nothing
    mov eax, [dm_relid]
    mov [gpadl + 8], eax
    inc dword [gpadl_id]
    mov eax, [gpadl_id]
    mov [gpadl + 12], eax
    mov [gpadl_id_copy], eax
    mov word [gpadl + 16], 8 + kRingPages * 8
    mov word [gpadl + 18], 1
    mov dword [gpadl + 20], kRingPages * 4096
    mov dword [gpadl + 24], 0
    mov edi, gpadl + 28
    mov rax, [first_page]
    mov ecx, kRingPages
    cld
.page:
    stosq
    inc rax
    loop .page
    mov rax, [bad_page]
    test rax, rax
    jz .good
    mov [rdi - 16], rax
.good:
    ret
honest_channel_open:
    call channel_open
    call dm_handshake
    ret
honest_channel:
    call honest_channel_open
    call channel_close
    ret
reconnect:
    call drain_messages
    mov dword [dm_relid], 0
    call vmbus_connect
    ret
section .data
align 8
first_page: dq kRing >> 12
bad_page: dq 0
body: dd 9, 0, 0, 0
    times 28 dq kRing >> 12
section .bss
rings: resq 1
first_id: resd 1
gpadl_id_copy: resd 1
noise: resq 20
