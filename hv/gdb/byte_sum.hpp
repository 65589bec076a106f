// SPDX-License-Identifier: Apache-2.0
// A packet's checksum, eight bytes at a time.
#pragma once
#include "hv/base/types.hpp"

namespace hv::gdb {
/// The sum of bytes modulo 256.
class ByteSum {
  public:
    constexpr void add(u64 eight_bytes) {
        lanes_ = (lanes_ + (eight_bytes & kLanes) + (eight_bytes >> 8 & kLanes)) & kLanes;
    }
    constexpr void add(u8 byte) { lanes_ += byte; }
    constexpr u8 value() const { return static_cast<u8>(lanes_ * 0x0001'0001'0001'0001 >> 48); }

  private:
    static constexpr u64 kLanes =
        0x00ff'00ff'00ff'00ff; // each with a byte of room; what overflows is a multiple of 256
    u64 lanes_ = 0;
};
} // namespace hv::gdb
