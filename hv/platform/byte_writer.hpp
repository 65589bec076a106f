// SPDX-License-Identifier: Apache-2.0
// Appends little-endian numbers to a fixed buffer.
#pragma once
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::platform {
/// What does not fit is dropped and remembered; positions stay meaningful.
class ByteWriter {
  public:
    explicit ByteWriter(std::span<u8> space) : space_{space} {}

    [[gnu::noinline]] void put8(u8 v) {
        if (at_ < space_.size()) {
            space_[at_] = v;
        }
        ++at_;
    }
    void put16(u16 v) { number(v, 2); }
    void put32(u32 v) { number(v, 4); }
    void put64(u64 v) { number(v, 8); }
    /// The characters of @p text, then blanks up to @p width.
    [[gnu::noinline]] void text(std::string_view text, usize width) {
        for (usize i = 0; i < width; ++i) {
            put8(i < text.size() ? static_cast<u8>(text[i]) : u8{' '});
        }
    }
    [[gnu::noinline]] void zeros(usize count) {
        for (usize i = 0; i < count; ++i) {
            put8(0);
        }
    }
    [[gnu::noinline]] void align(usize power_of_two) { zeros(align_up(at_, power_of_two) - at_); }
    /// Overwrites an earlier byte.
    void patch8(usize at, u8 v) {
        if (at < space_.size()) {
            space_[at] = v;
        }
    }
    void patch32(usize at, u32 v) {
        for (unsigned i = 0; i < 4; ++i) {
            patch8(at + i, static_cast<u8>(v >> (8 * i)));
        }
    }

    usize at() const { return at_; }
    bool overflowed() const { return at_ > space_.size(); }
    /// Bytes [from, to) as far as they were written.
    std::span<u8 const> written(usize from, usize to) const { return space_.subspan(from, to - from); }

  private:
    [[gnu::noinline]] void number(u64 v, unsigned bytes) {
        for (unsigned i = 0; i < bytes; ++i) {
            put8(static_cast<u8>(v >> (8 * i)));
        }
    }

    std::span<u8> space_;
    usize at_ = 0;
};
} // namespace hv::platform
