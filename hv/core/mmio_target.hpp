// SPDX-License-Identifier: Apache-2.0
// What lies behind guest-physical addresses and ports that are not memory.
#pragma once
#include "hv/base/addr.hpp"

namespace hv {
/// Devices in guest-physical space. Any address is legal: what nobody claims reads all ones and swallows
/// writes. May change device state; must not touch guest memory or registers.
class MmioTarget {
  public:
    virtual ~MmioTarget() = default;
    /// @param size_bytes 1, 2, 4 or 8, not crossing a page. @return the value in the low bits.
    virtual u64 read(Gpa, u8 size_bytes) = 0;
    virtual void write(Gpa, u8 size_bytes, u64 value) = 0;
};

/// The port space, for string I/O.
class PortTarget {
  public:
    virtual ~PortTarget() = default;
    /// @param size_bytes 1, 2 or 4.
    virtual u32 read(u16 port, u8 size_bytes) = 0;
    virtual void write(u16 port, u8 size_bytes, u32 value) = 0;
};
} // namespace hv
