// SPDX-License-Identifier: Apache-2.0
// Reads a packet's text from the front: hexadecimal numbers, separators and thread ids. Nothing is taken when
// the text is not what was asked for.
#pragma once
#include "hv/base/types.hpp"
#include <string_view>

namespace hv::gdb {
struct HexValues {
    s8 of[256] = {};
    constexpr HexValues() {
        for (s8& value : of) {
            value = -1;
        }
        for (s8 i = 0; i < 16; ++i) {
            of[static_cast<u8>("0123456789abcdef"[i])] = of[static_cast<u8>("0123456789ABCDEF"[i])] = i;
        }
    }
};
inline constexpr HexValues kHexValues;
/// The value of a hexadecimal digit, or -1.
constexpr s32 hex_value(u8 c) {
    return kHexValues.of[c];
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
    /// Takes one of @p words, each ended by a NUL and the last by another. @return its place; kNoChoice: none
    u32 choice(char const* words);
    static constexpr u32 kNoChoice = ~0u;
    /// The next character, which is taken; NUL at the end.
    constexpr char next() { return at_ != end_ ? *at_++ : '\0'; }
    /// 1 … 16 digits
    bool number(u64& to);
    /// Two digits.
    bool byte(u8& to);
    /// Up to @p separator, which is taken too, or the end.
    std::string_view word(char separator);
    /// pPID.TID, pPID (all its threads) or TID. What was taken of something else is gone.
    bool thread(ThreadId& to);

  private:
    bool id(s32& to);
    char const* at_;
    char const* end_;
};
} // namespace hv::gdb
