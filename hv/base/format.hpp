// SPDX-License-Identifier: Apache-2.0
// Type-safe text without allocation: format(buffer, "{} of {:x}", a, b).
#pragma once
#include "hv/base/types.hpp"
#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>

namespace hv {
/// Appends to a fixed buffer; what does not fit is dropped and remembered.
class TextBuffer {
  public:
    constexpr explicit TextBuffer(std::span<char> space) : space_{space} {}
    constexpr void put(char c) {
        if (used_ < space_.size()) {
            space_[used_++] = c;
        } else {
            truncated_ = true;
        }
    }
    constexpr void put(std::string_view text) {
        for (char c : text) {
            put(c);
        }
    }
    constexpr std::string_view text() const { return {space_.data(), used_}; }
    constexpr bool truncated() const { return truncated_; }
    constexpr void clear() { used_ = 0, truncated_ = false; }

  private:
    std::span<char> space_;
    usize used_ = 0;
    bool truncated_ = false;
};

/// One argument of format(); built implicitly from integers, booleans, characters, text and pointers.
struct FormatArg {
    enum class Kind : u8 { Unsigned, Signed, Char, Text };
    Kind kind = Kind::Unsigned;
    u64 number = 0;
    std::string_view string;

    template <std::unsigned_integral T>
    constexpr FormatArg(T v) : kind{Kind::Unsigned}, number{v} {}
    template <std::signed_integral T>
    constexpr FormatArg(T v) : kind{Kind::Signed}, number{static_cast<u64>(v)} {}
    constexpr FormatArg(bool v) : kind{Kind::Text}, string{v ? "true" : "false"} {}
    constexpr FormatArg(char v) : kind{Kind::Char}, number{static_cast<u8>(v)} {}
    constexpr FormatArg(std::string_view v) : kind{Kind::Text}, string{v} {}
    constexpr FormatArg(char const* v) : kind{Kind::Text}, string{v} {}
    FormatArg(void const* v) : kind{Kind::Unsigned}, number{reinterpret_cast<u64>(v)} {}
    template <class E>
    requires std::is_enum_v<E>
    constexpr FormatArg(E v) : FormatArg(static_cast<u64>(v)) {}
};

/// Appends @p pattern with each `{}` replaced by the next argument. A field may say `{:[-][0][width][x]}`:
/// left-aligned, zero-padded, at least width characters, hexadecimal. `{{` prints a brace. Missing arguments
/// print as `{?}`.
void format_to(TextBuffer& out, std::string_view pattern, std::span<FormatArg const> args);

template <class... Args>
void format(TextBuffer& out, std::string_view pattern, Args const&... args) {
    if constexpr (sizeof...(Args) == 0) {
        format_to(out, pattern, {});
    } else {
        FormatArg const list[] = {FormatArg(args)...};
        format_to(out, pattern, list);
    }
}
} // namespace hv
