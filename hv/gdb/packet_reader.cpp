// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_reader.hpp"
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
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
    u8 sum = sum_;
    usize i = 0;
    while (i < bytes.size()) {
        u8 const byte = bytes[i++];
        if (byte == '#') {
            state_ = State::FirstDigit;
            break;
        }
        if (byte == '$') {
            used_ = 0, sum = 0, too_long_ = false;
            continue;
        }
        sum = static_cast<u8>(sum + byte);
        if (byte == '}') {
            state_ = State::Escaped;
            break;
        }
        store(byte);
    }
    sum_ = sum;
    return i;
}

PacketReader::Event PacketReader::take_other(u8 byte) {
    if (byte == '$') {
        state_ = State::Data;
        used_ = 0, sum_ = 0, too_long_ = false;
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
        store(byte ^ 0x20);
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
