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
    constexpr bool eat(std::string_view word) {
        if (!rest().starts_with(word)) return false;
        at_ += word.size();
        return true;
    }
    /// 1 … 16 digits
    constexpr bool number(u64& to) {
        u64 value = 0;
        char const* p = at_;
        for (; p != end_; ++p) {
            s32 const digit = hex_value(static_cast<u8>(*p));
            if (digit < 0) break;
            if (p - at_ == 16) return false;
            value = value << 4 | static_cast<u64>(digit);
        }
        if (p == at_) return false;
        at_ = p;
        to = value;
        return true;
    }
    /// Two digits.
    constexpr bool byte(u8& to) {
        if (end_ - at_ < 2) return false;
        s32 const high = hex_value(static_cast<u8>(at_[0])), low = hex_value(static_cast<u8>(at_[1]));
        if (high < 0 || low < 0) return false;
        to = static_cast<u8>(high << 4 | low);
        at_ += 2;
        return true;
    }
    /// Up to @p separator or the end, which is taken too.
    constexpr std::string_view word(char separator) {
        char const* const first = at_;
        while (at_ != end_ && *at_ != separator) {
            ++at_;
        }
        std::string_view const found{first, static_cast<usize>(at_ - first)};
        if (at_ != end_) ++at_;
        return found;
    }
    /// pPID.TID, pPID (all its threads) or TID
    bool thread(ThreadId& to);

  private:
    bool id(s32& to);
    char const* at_;
    char const* end_;
};
} // namespace hv::gdb
