// SPDX-License-Identifier: Apache-2.0
// Cuts a line's bytes into packets. Whatever comes, it is back in step at the next `$`: noise outside a
// packet is skipped, a packet that is too long or whose checksum is wrong is dropped.
//
//   Outside ─$→ Data ─#→ FirstDigit → SecondDigit → Outside: a packet, or a bad one
//                │ }→ Escaped → Data                 `$` anywhere: Data, from its start
#pragma once
#include "hv/base/types.hpp"
#include <span>

namespace hv::gdb {
class PacketReader {
  public:
    /// Most data bytes of a packet, after the escapes are undone; what qSupported tells.
    static constexpr usize kDataBytes = 0x4000;
    enum class Event : u8 {
        None,
        Packet,    ///< its data is in packet() until the next call
        Bad,       ///< wrong checksum, or no digits for it
        Interrupt, ///< 0x03 outside a packet
        Ack,       ///< `+` outside a packet
        Nak,       ///< `-`
    };
    /// Takes bytes from the front of @p bytes until something has happened or none are left. The checksum is
    /// looked at also when nobody acknowledges: gdb always sends it, and noise seldom does.
    /// Source: GDB manual, "Remote Protocol: Overview".
    Event take(std::span<u8 const>& bytes);
    std::span<u8> packet() { return {data_, used_}; }

  private:
    enum class State : u8 { Outside, Data, Escaped, FirstDigit, SecondDigit };
    usize take_data(std::span<u8 const> bytes);
    Event take_other(u8 byte);
    void begin() { state_ = State::Data, too_long_ = false, sum_ = 0, used_ = 0; }

    State state_ = State::Outside;
    bool too_long_ = false;
    u8 sum_ = 0;
    u8 digit_ = 0;
    usize used_ = 0;
    u8 data_[kDataBytes] = {};
};
} // namespace hv::gdb
