// SPDX-License-Identifier: Apache-2.0
// Type-safe text without allocation: format(buffer, "{} of {:x}", a, b).
#pragma once
#include "hv/base/types.hpp"
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

/// The arguments of one format() call, each a word: the number, or where a text is. What a word means is
/// known at compile time and travels in one constant, four bits an argument, 0 after the last: a call costs a
/// store for each argument and a call.
struct FormatArgs {
    enum Kind : u8 { None, Unsigned, Signed, Boolean, Char, Text, CText };
    u64 kinds = 0;
    u64 const* words = nullptr;
};

/// Builds FormatArgs out of integers, booleans, characters, enumerations, texts and pointers. Refers to its
/// arguments: use it inside the expression that prints.
template <usize Count>
class FormatPack {
    static_assert(Count <= 16);

  public:
    template <class... Args>
    [[gnu::always_inline]] FormatPack(Args const&... args) : words_{word_of(args)...} {
        u32 shift = 0;
        ((kinds_ |= static_cast<u64>(kind_of<std::decay_t<Args>>()) << shift, shift += 4), ...);
    }
    [[gnu::always_inline]] operator FormatArgs() const { return {kinds_, words_}; }

  private:
    template <class T>
    static constexpr FormatArgs::Kind kind_of() {
        if constexpr (std::is_same_v<T, bool>) {
            return FormatArgs::Boolean;
        } else if constexpr (std::is_same_v<T, char>) {
            return FormatArgs::Char;
        } else if constexpr (std::is_same_v<T, std::string_view>) {
            return FormatArgs::Text;
        } else if constexpr (std::is_same_v<T, char const*> || std::is_same_v<T, char*>) {
            return FormatArgs::CText;
        } else if constexpr (std::is_signed_v<T>) {
            return FormatArgs::Signed;
        } else {
            return FormatArgs::Unsigned;
        }
    }
    template <class T>
    [[gnu::always_inline]] static u64 word_of(T const& value) {
        if constexpr (std::is_same_v<T, std::string_view>) {
            return reinterpret_cast<u64>(&value);
        } else if constexpr (std::is_array_v<T>) {
            return reinterpret_cast<u64>(&value[0]);
        } else if constexpr (std::is_pointer_v<T>) {
            return reinterpret_cast<u64>(value);
        } else {
            static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
            return static_cast<u64>(value);
        }
    }

    u64 kinds_ = 0;
    u64 words_[Count == 0 ? 1 : Count];
};
template <class... Args>
FormatPack(Args const&...) -> FormatPack<sizeof...(Args)>;

/// Appends @p pattern with each `{}` replaced by the next argument. A field may say `{:[-][0][width][x]}`:
/// left-aligned, zero-padded, at least width characters, hexadecimal. `{{` prints a brace. Missing arguments
/// print as `{?}`.
void format_to(TextBuffer& out, std::string_view pattern, FormatArgs args);

template <class... Args>
[[gnu::always_inline]] inline void format(TextBuffer& out, std::string_view pattern, Args const&... args) {
    format_to(out, pattern, FormatPack{args...});
}
} // namespace hv
