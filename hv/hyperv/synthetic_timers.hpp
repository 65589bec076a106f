// SPDX-License-Identifier: Apache-2.0
// One virtual processor's four synthetic timers: one-shot or periodic, telling the guest by an interrupt of
// its own (direct mode) or by a SynIC message.
#pragma once
#include "hv/hyperv/synic.hpp"

namespace hv::hyperv {
/// Source: TLFS, "Timers", synthetic timers. All times are partition reference time (100 ns).
class SyntheticTimers {
  public:
    /// Shortest period a guest gets: 50 µs. A shorter one would only keep the host busy.
    static constexpr u64 kMinPeriod_100ns = 500;

    void bind(HypervEnvironment& environment, Synic& synic, u32 vp_index);
    void reset();

    static bool owns_msr(u32 index) {
        return index >= msr::kStimer0Config && index < msr::kStimer0Config + 2 * kTimerCount;
    }
    u64 read_msr(u32 index) const;
    /// Any value is legal. A one-shot time in the past fires before this returns.
    void write_msr(u32 index, u64 value);

    /// When on_time() has something to do; kNever when no timer runs.
    u64 next_deadline() const { return next_deadline_; }
    /// Fires every timer whose time has come.
    void on_time(u64 now);
    /// Delivers timer messages that found their slot busy.
    void pump();
    bool waiting() const { return waiting_ != 0; }

  private:
    struct Timer {
        u64 config = 0, count = 0;
        u64 deadline = kNever;
        u64 expired_at = 0; ///< of the message that waits
    };
    void arm(Timer& timer, u64 now);
    void expire(u32 index, u64 now);
    void find_next();

    HypervEnvironment* env_ = nullptr;
    Synic* synic_ = nullptr;
    u32 vp_ = 0;
    u8 waiting_ = 0; ///< timers whose message has not been delivered
    u64 next_deadline_ = kNever;
    std::array<Timer, kTimerCount> timers_{};
};
} // namespace hv::hyperv
