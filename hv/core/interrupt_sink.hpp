// SPDX-License-Identifier: Apache-2.0
// The two things device models and the Hyper-V interface need of a partition besides its memory: interrupts
// and time.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
/// Takes interrupts for virtual processors: implemented by the virtual local APICs.
class InterruptSink {
  public:
    virtual ~InterruptSink() = default;
    /// An edge-triggered fixed interrupt for virtual processor @p vp_index. Vectors below 16 are ignored and
    /// counted.
    virtual void raise(u32 vp_index, u8 vector) = 0;
};

/// A partition's time. All values are monotonic and stand still while a debugger has the partition stopped.
class PartitionClock {
  public:
    virtual ~PartitionClock() = default;
    /// The guest's TSC now.
    virtual u64 guest_tsc() const = 0;
    virtual u64 tsc_hz() const = 0;
    /// 100 ns units since the partition was started (TLFS, partition reference time).
    virtual u64 reference_time() const = 0;
    /// Wall clock: 100 ns units since 1601-01-01 UTC.
    virtual u64 wall_clock() const = 0;
};

inline constexpr u64 kNever = ~0ull;
} // namespace hv
