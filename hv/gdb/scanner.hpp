// SPDX-License-Identifier: Apache-2.0
// Reads a packet's text from the front: hexadecimal numbers, separators and thread ids. Nothing is taken when
// the text is not what was asked for.
#pragma once
#include "hv/base/types.hpp"
#include <string_view>

namespace hv::gdb {
/// The value of a hexadecimal digit, or -1.
constexpr s32 hex_value(u32 c) {
    if (c - '0' < 10) return static_cast<s32>(c - '0');
    c |= 0x20;
    return c - 'a' < 6 ? static_cast<s32>(c - 'a' + 10) : -1;
}
inline constexpr char kHexDigits[] = "0123456789abcdef";

/// A thread as gdb names it: pPID.TID in hexadecimal, either of them -1 (all) or 0 (any).
struct ThreadId {
    static constexpr s32 kAll = -1;
    static constexpr s32 kAny = 0;
    static constexpr s32 kUnnamed = -2; ///< pid: without multiprocess ids; the current one is meant
    s32 pid = kUnnamed;
    s32 tid = kAll;
};

class Scanner {
  public:
    constexpr explicit Scanner(std::string_view text) : at_{text.data()}, end_{text.data() + text.size()} {}
    constexpr bool at_end() const { return at_ == end_; }
    constexpr std::string_view rest() const { return {at_, static_cast<usize>(end_ - at_)}; }
    constexpr bool eat(char c) {
        if (at_ == end_ || *at_ != c) return false;
        ++at_;
        return true;
    }
    bool eat(std::string_view word);
    /// 1 … 16 digits
    bool number(u64& to);
    /// Two digits.
    bool byte(u8& to);
    /// Up to @p separator, which is taken too, or the end.
    std::string_view word(char separator);
    /// pPID.TID, pPID (all its threads) or TID
    bool thread(ThreadId& to);

  private:
    bool id(s32& to);
    char const* at_;
    char const* end_;
};
} // namespace hv::gdb
