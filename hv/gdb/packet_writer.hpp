// SPDX-License-Identifier: Apache-2.0
// Builds packets in a fixed buffer and hands their bytes out as the line takes them. While the two sides
// acknowledge, one packet at a time is out and stays until its `+`; a `-` sends it again.
#pragma once
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::gdb {
class PacketWriter {
  public:
    static constexpr usize kDataBytes = 0x4000;
    /// A packet of the greatest size waits while another goes out.
    static constexpr usize kBufferBytes = 2 * (kDataBytes + 8);

    /// @param kind `$`; `%`: a notification, which is not acknowledged (whatever comes in counts as that)
    void begin(char kind = '$');
    void put(char c) {
        if (at_ < kBufferBytes) {
            buffer_[at_++] = static_cast<u8>(c);
        } else {
            overrun_ = true;
        }
    }
    void put(std::string_view text);
    /// Up to the NUL: literals cost the caller one argument.
    void put(char const* text);
    void byte(u8 value);
    void hex(std::span<u8 const> bytes);
    /// `NN:…;` for each, with the lowest 4 or 8 bytes of the value in memory's order.
    struct Tagged {
        u64 value;
        u8 tag;
    };
    void registers(std::span<Tagged const>, u32 bytes);
    /// Without leading zeros.
    void number(u64 value);
    /// As binary data: what means something to the receiver is escaped.
    void binary(std::string_view bytes);
    /// Replaces the packet's first character.
    void set_first(char c) {
        if (!overrun_) buffer_[start_ + 1] = static_cast<u8>(c);
    }
    /// Data characters of the packet being built.
    usize size() const { return at_ - start_ - 1; }
    /// @param run_lengths repeated characters may be counted instead; not for binary data
    void end(bool run_lengths = false);
    void packet(std::string_view data);
    void packet(char const* data);

    /// How many data characters of a further packet fit.
    usize room() const;
    /// Acknowledges (or not) what has come in; nothing in no-ack mode.
    void answer(bool good);
    /// Neither side acknowledges any more.
    void stop_acks();
    /// The other side's `+` or `-`.
    void acknowledged(bool good);
    /// Forgets everything: the other side is not who it was.
    void clear();

    /// What may go out now, and that it has.
    std::span<u8 const> pending() const;
    void sent(usize bytes);

  private:
    void compress();
    u8 sum();
    void find_window();

    bool acks_ = true;
    bool overrun_ = false;
    usize used_ = 0;                   ///< whole packets and acknowledgements
    usize sent_ = 0;                   ///< of them
    usize window_ = 0;                 ///< as far as they may go now
    usize start_ = 0;                  ///< of the packet being built
    usize at_ = 0;                     ///< its end
    u8 buffer_[kBufferBytes + 8] = {}; ///< what is behind is sum()'s
};
} // namespace hv::gdb
