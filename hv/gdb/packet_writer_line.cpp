// SPDX-License-Identifier: Apache-2.0
// What a stop reply does not need: binary data, run lengths, acknowledgements.
#include "hv/gdb/packet_writer.hpp"

namespace hv::gdb {
void PacketWriter::binary(std::string_view bytes) {
    for (char c : bytes) {
        if (c == '#' || c == '$' || c == '}' || c == '*') {
            put('}');
            c = static_cast<char>(c ^ 0x20);
        }
        put(c);
    }
}

/// A character followed by `*` and 29 + n stands for 1 + n of it, in place: it never gets longer. Counts
/// whose character would be `#`, `$`, `+` or `-` are avoided. Source: GDB manual, "Remote Protocol:
/// Overview".
void PacketWriter::compress() {
    usize to = start_ + 1;
    for (usize from = to; from < at_;) {
        u8 const c = buffer_[from];
        usize more = 0;
        while (more < 97 && from + more + 1 < at_ && buffer_[from + more + 1] == c) {
            ++more;
        }
        if (more == 7) more = 6;
        if (more == 6 || more == 14 || more == 16) --more;
        buffer_[to++] = c;
        from += 1 + more;
        if (more >= 3) {
            buffer_[to++] = '*';
            buffer_[to++] = static_cast<u8>(29 + more);
        } else {
            for (; more != 0; --more) {
                buffer_[to++] = c;
            }
        }
    }
    at_ = to;
}

usize PacketWriter::room() const {
    usize const left = kBufferBytes - used_;
    return left < 8 ? 0 : left - 8 < kDataBytes ? left - 8 : kDataBytes;
}

void PacketWriter::answer(bool good) {
    if (!acks_ || used_ == kBufferBytes) return;
    buffer_[used_++] = good ? '+' : '-';
    find_window();
}

/// Everything may go, or with acknowledgements what comes before the second packet.
void PacketWriter::find_window() {
    window_ = used_;
    if (!acks_) return;
    for (usize i = 0; i < used_; ++i) {
        if (buffer_[i] == '#') { // escaped inside packets
            window_ = i + 3;
            return;
        }
    }
}

void PacketWriter::acknowledged(bool good) {
    if (!acks_ || sent_ == 0 || sent_ != window_) return;
    if (!good) {
        sent_ = 0;
        while (buffer_[sent_] != '$' && buffer_[sent_] != '%') { // behind the acknowledgements
            ++sent_;
        }
        return;
    }
    for (usize i = window_; i < used_; ++i) {
        buffer_[i - window_] = buffer_[i];
    }
    used_ -= window_;
    sent_ = 0;
    find_window();
}

void PacketWriter::stop_acks() {
    acks_ = false;
    window_ = used_;
    sent(0);
}

void PacketWriter::clear() {
    used_ = sent_ = window_ = 0;
    acks_ = true;
}
} // namespace hv::gdb
