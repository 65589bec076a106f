// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_writer.hpp"
#include "hv/base/assert.hpp"
#include "hv/gdb/byte_sum.hpp"
#include "hv/gdb/scanner.hpp"
#include <bit>
#include <cstring>

namespace hv::gdb {
namespace {
/// Both digits of every byte.
struct HexPairs {
    u16 pairs[256] = {};
    constexpr HexPairs() {
        for (u32 i = 0; i < 256; ++i) {
            pairs[i] = static_cast<u16>(kHexDigits[i >> 4] | kHexDigits[i & 15] << 8);
        }
    }
};
constexpr HexPairs kHexPairs;

/// The eight digits of four bytes in memory's order, all at once: a register takes half of what the table
/// does.
constexpr u64 hex_digits(u32 bytes) {
    constexpr u64 kOnes = 0x0101'0101'0101'0101;
    u64 spread = (bytes | u64{bytes} << 16) & 0x0000'ffff'0000'ffff;
    spread = (spread | spread << 8) & 0x00ff'00ff'00ff'00ff;
    u64 const nibbles = (spread >> 4 | spread << 8) & kOnes * 0x0f;
    u64 const letters = (nibbles + kOnes * 6) >> 4 & kOnes;
    return nibbles + kOnes * '0' + letters * ('a' - '0' - 10);
}
static_assert(hex_digits(0xdf90'a30f) == 0x6664'3039'3361'6630); // "0fa390df"
} // namespace

void PacketWriter::begin(char kind) {
    start_ = at_ = used_;
    overrun_ = false;
    put(kind);
}
void PacketWriter::put(std::string_view text) {
    if (text.size() > kBufferBytes - at_) {
        overrun_ = true;
        return;
    }
    std::memcpy(buffer_ + at_, text.data(), text.size());
    at_ += text.size();
}
void PacketWriter::put(char const* text) {
    u8 *to = buffer_ + at_, *const end = buffer_ + kBufferBytes;
    while (*text != 0 && to != end) {
        *to++ = static_cast<u8>(*text++);
    }
    overrun_ |= *text != 0;
    at_ = static_cast<usize>(to - buffer_);
}
void PacketWriter::hex(std::span<u8 const> bytes) {
    if (bytes.size() > (kBufferBytes - at_) / 2) {
        overrun_ = true;
        return;
    }
    u8* to = buffer_ + at_;
    at_ += bytes.size() * 2;
    u8 const* const end = bytes.data() + bytes.size();
    for (u8 const* from = bytes.data(); from != end; ++from, to += 2) {
        std::memcpy(to, &kHexPairs.pairs[*from], 2);
    }
}
void PacketWriter::packet(std::string_view data) {
    begin();
    put(data);
    end();
}
void PacketWriter::packet(char const* data) {
    begin();
    put(data);
    end();
}
void PacketWriter::byte(u8 value) {
    hex({&value, 1});
}
void PacketWriter::number(u64 value) {
    if (value < 10) return put(static_cast<char>('0' + value));
    for (u32 shift = value == 0 ? 0 : (static_cast<u32>(std::bit_width(value)) - 1) & ~3u;; shift -= 4) {
        put(kHexDigits[value >> shift & 15]);
        if (shift == 0) break;
    }
}
u8 PacketWriter::sum() {
    ByteSum sum;
    u8 const* at = buffer_ + start_ + 1;
    u8* const end = buffer_ + at_;
    u64 word = 0;
    std::memcpy(end, &word, sizeof word); // the last ones are eight as well
    for (; at < end; at += sizeof word) {
        std::memcpy(&word, at, sizeof word);
        sum.add(word);
    }
    return sum.value();
}

void PacketWriter::registers(std::span<Tagged const> all, u32 bytes) {
    if (all.size() * (2 * sizeof(u64) + 4) > kBufferBytes - at_) {
        overrun_ = true;
        return;
    }
    u8* to = buffer_ + at_;
    for (Tagged const& r : all) {
        std::memcpy(to, &kHexPairs.pairs[r.tag], 2);
        to[2] = ':';
        u64 const low = hex_digits(static_cast<u32>(r.value)),
                  high = hex_digits(static_cast<u32>(r.value >> 32));
        std::memcpy(to + 3, &low, sizeof low);
        std::memcpy(to + 11, &high, sizeof high); // behind four bytes' digits it is written over
        to += 3 + 2 * bytes;
        *to++ = ';';
    }
    at_ = static_cast<usize>(to - buffer_);
}

void PacketWriter::end(bool run_lengths) {
    if (overrun_) return; // for want of a reply gdb asks again
    if (run_lengths) compress();
    u8 const check = sum();
    put('#');
    byte(check);
    if (overrun_) return;
    used_ = at_;
    find_window();
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
