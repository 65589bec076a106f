// SPDX-License-Identifier: Apache-2.0
// The local APIC's timer as arithmetic on the guest's TSC: nothing ticks, the current count is computed.
#pragma once
#include "hv/core/interrupt_sink.hpp"

namespace hv::platform {
/// One-shot, periodic and TSC-deadline. All times are values of the guest's TSC.
/// Source: Intel SDM vol 3A, "APIC timer".
class ApicTimer {
  public:
    enum class Mode : u8 { OneShot, Periodic, TscDeadline, Reserved };

    /// @param timer_hz counting rate before the divider, below 2^32. @param tsc_hz below 2^36.
    ApicTimer(u64 tsc_hz, u32 timer_hz);

    /// A change between counting and TSC-deadline mode disarms.
    void set_mode(Mode, u64 now);
    /// A masked timer goes on without firing.
    void set_masked(bool masked, u64 now);
    /// Raw divide configuration register, bits 3, 1 and 0. Restarts the rest of a running count.
    void set_divide(u32 value, u64 now);
    /// 0 stops. Ignored in TSC-deadline mode.
    void set_initial(u32 count, u64 now);
    /// 0 disarms. Ignored unless in TSC-deadline mode.
    void set_tsc_deadline(u64 tsc);
    /// The guest's TSC jumps by @p ticks (modulo 2^64): a count goes on where it was, a TSC deadline stays.
    /// What was due has been taken.
    void tsc_moves(u64 ticks);

    Mode mode() const { return mode_; }
    u32 divide() const { return divide_; }
    u32 initial() const { return initial_; }
    u32 current(u64 now) const;
    u64 tsc_deadline(u64 now);

    /// When take_expiry() is worth calling; kNever when nothing can fire.
    u64 next_deadline() const { return masked_ ? kNever : deadline_; }
    /// @return whether the timer interrupt is due. Re-arms a periodic timer, past all missed periods.
    bool take_expiry(u64 now) {
        if (now < deadline_ || deadline_ == kNever) {
            return false;
        }
        expire(now);
        return !masked_;
    }

    void reset();

  private:
    u64 ticks(u64 tsc_delta) const;
    u64 tsc_of(u64 count) const;
    void expire(u64 now);
    void start(u64 count, u64 now);

    u64 deadline_ = kNever;
    u64 start_ = 0; ///< when the present countdown from first_ began
    u64 period_ = 0;
    u64 first_ = 0;     ///< the count at start_
    u64 tsc_per_tick_;  ///< 28 fraction bits
    u64 ticks_per_tsc_; ///< 32 fraction bits
    u64 shortest_period_;
    u32 initial_ = 0;
    u32 divide_ = 0;
    u8 divide_shift_ = 1;
    Mode mode_ = Mode::OneShot;
    bool masked_ = true;
};
} // namespace hv::platform
