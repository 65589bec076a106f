// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_writer.hpp"
#include "hv/base/assert.hpp"
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
void PacketWriter::begin() {
    start_ = at_ = used_;
    overrun_ = false;
    put('$');
}
void PacketWriter::put(std::string_view text) {
    for (char c : text) {
        put(c);
    }
}
void PacketWriter::hex(std::span<u8 const> bytes) {
    for (u8 const value : bytes) {
        byte(value);
    }
}
void PacketWriter::packet(std::string_view data) {
    begin();
    put(data);
    end();
}
void PacketWriter::byte(u8 value) {
    if (at_ + 2 > kBufferBytes) {
        overrun_ = true;
        return;
    }
    buffer_[at_] = static_cast<u8>(kHexDigits[value >> 4]);
    buffer_[at_ + 1] = static_cast<u8>(kHexDigits[value & 15]);
    at_ += 2;
}
void PacketWriter::number(u64 value) {
    u32 shift = 60;
    while (shift != 0 && value >> shift == 0) {
        shift -= 4;
    }
    for (;; shift -= 4) {
        put(kHexDigits[value >> shift & 15]);
        if (shift == 0) break;
    }
}
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

void PacketWriter::end(bool run_lengths) {
    if (run_lengths && !overrun_) compress();
    u32 sum = 0;
    for (usize i = start_ + 1; i < at_; ++i) {
        sum += buffer_[i];
    }
    put('#');
    byte(static_cast<u8>(sum));
    if (overrun_) return; // for want of a reply gdb asks again
    used_ = at_;
    find_window();
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
        while (buffer_[sent_] != '$') {
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

std::span<u8 const> PacketWriter::pending() const {
    return {buffer_ + sent_, window_ - sent_};
}

void PacketWriter::sent(usize bytes) {
    HV_ASSERT(bytes <= window_ - sent_);
    sent_ += bytes;
    // A sent packet that awaits its acknowledgement stays; acknowledgements themselves do not.
    if (sent_ == used_ && (!acks_ || buffer_[used_ - 1] == '+' || buffer_[used_ - 1] == '-')) {
        used_ = sent_ = window_ = 0;
    }
}
} // namespace hv::gdb
