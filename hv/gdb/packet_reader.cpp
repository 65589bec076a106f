// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_reader.hpp"
#include "hv/gdb/byte_sum.hpp"
#include "hv/gdb/scanner.hpp"
#include <cstring>

namespace hv::gdb {
namespace {
/// Any of the eight bytes is @p byte: borrows reach a byte's top bit only from a zero byte below or in it.
constexpr bool has_byte(u64 word, u8 byte) {
    constexpr u64 kOnes = 0x0101'0101'0101'0101;
    u64 const zero_where_equal = word ^ kOnes * byte;
    return ((zero_where_equal - kOnes) & ~zero_where_equal & kOnes << 7) != 0;
}
} // namespace

PacketReader::Event PacketReader::take(std::span<u8 const>& bytes) {
    usize taken = 0;
    Event event = Event::None;
    while (taken < bytes.size() && event == Event::None) {
        if (state_ == State::Data) {
            taken += take_data(bytes.subspan(taken));
        } else {
            event = take_other(bytes[taken++]);
        }
    }
    bytes = bytes.subspan(taken);
    return event;
}

/// Takes ordinary data up to and with the first byte that means something; this is where the time goes.
usize PacketReader::take_data(std::span<u8 const> bytes) {
    u8 const* from = bytes.data();
    usize const room = kDataBytes - used_;
    u8 const* const end = from + (bytes.size() < room ? bytes.size() : room);
    u8* to = data_ + used_;
    ByteSum sum;
    u64 word = 0;
    for (; end - from >= 8; from += 8, to += 8) {
        std::memcpy(&word, from, sizeof word);
        if (has_byte(word, '#') || has_byte(word, '$') || has_byte(word, '}')) break;
        std::memcpy(to, &word, sizeof word);
        sum.add(word);
    }
    for (; from != end; ++from) {
        u8 const byte = *from;
        if (byte == '#' || byte == '$' || byte == '}') break;
        sum.add(byte);
        *to++ = byte;
    }
    sum_ = static_cast<u8>(sum_ + sum.value());
    used_ = static_cast<usize>(to - data_);
    usize const taken = static_cast<usize>(from - bytes.data());
    if (taken == bytes.size()) return taken;
    switch (*from) {
    case '#': state_ = State::FirstDigit; break;
    case '$': begin(); break;
    case '}': state_ = State::Escaped; [[fallthrough]];
    default: sum_ = static_cast<u8>(sum_ + *from);
    }
    if (state_ == State::Data && used_ == kDataBytes)
        too_long_ = true, used_ = 0; // dropped, as the rest will be
    return taken + 1;
}

PacketReader::Event PacketReader::take_other(u8 byte) {
    if (byte == '$') {
        begin();
        return Event::None;
    }
    if (state_ == State::Outside) {
        return byte == 0x03  ? Event::Interrupt
               : byte == '+' ? Event::Ack
               : byte == '-' ? Event::Nak
                             : Event::None;
    }
    if (state_ == State::Escaped) {
        state_ = State::Data;
        sum_ = static_cast<u8>(sum_ + byte);
        if (used_ < kDataBytes) {
            data_[used_++] = byte ^ 0x20;
        } else {
            too_long_ = true;
        }
        return Event::None;
    }
    s32 const digit = hex_value(byte);
    if (digit >= 0 && state_ == State::FirstDigit) {
        digit_ = static_cast<u8>(digit);
        state_ = State::SecondDigit;
        return Event::None;
    }
    state_ = State::Outside;
    if (digit < 0 || (digit_ << 4 | digit) != sum_) return Event::Bad;
    return too_long_ ? Event::None : Event::Packet;
}
} // namespace hv::gdb
