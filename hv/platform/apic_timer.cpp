// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/apic_timer.hpp"
#include "hv/base/assert.hpp"

namespace hv::platform {
namespace {
using u128 = unsigned __int128;
/// A guest may program a period of one tick; nobody gets interrupts more often than every 20 µs from a
/// periodic timer, so that it makes some progress between two of them.
constexpr u64 kShortestPeriodsPerSecond = 50'000;
} // namespace

// Rounded up, so that the count has reached 0 when the deadline is there.
ApicTimer::ApicTimer(u64 tsc_hz, u32 timer_hz)
    : tsc_per_tick_{(tsc_hz << 28) / timer_hz},
      ticks_per_tsc_{((static_cast<u64>(timer_hz) << 32) + tsc_hz - 1) / tsc_hz},
      shortest_period_{tsc_hz / kShortestPeriodsPerSecond} {
    HV_ASSERT(tsc_hz != 0 && timer_hz != 0 && tsc_hz < (1ull << 36));
}

u64 ApicTimer::ticks(u64 tsc_delta) const {
    return static_cast<u64>((static_cast<u128>(tsc_delta) * ticks_per_tsc_) >> (32 + divide_shift_));
}

u64 ApicTimer::tsc_of(u64 count) const {
    u128 const product = static_cast<u128>(count << divide_shift_) * tsc_per_tick_;
    return static_cast<u64>((product + ((1u << 28) - 1)) >> 28);
}

void ApicTimer::start(u64 count, u64 now) {
    start_ = now;
    first_ = count;
    if (count == 0) {
        deadline_ = kNever;
        return;
    }
    period_ = tsc_of(initial_);
    if (mode_ == Mode::Periodic && period_ < shortest_period_) {
        period_ = shortest_period_;
    }
    deadline_ = now + (mode_ == Mode::Periodic && count == initial_ ? period_ : tsc_of(count));
}

void ApicTimer::set_mode(Mode mode, u64 now) {
    if (mode == mode_) {
        return;
    }
    take_expiry(now);
    bool const counting = mode_ == Mode::OneShot || mode_ == Mode::Periodic;
    bool const stays = counting && (mode == Mode::OneShot || mode == Mode::Periodic);
    u32 const left = current(now);
    mode_ = mode;
    if (stays && deadline_ != kNever) {
        start(left, now);
    } else if (!stays) {
        deadline_ = kNever;
        initial_ = 0;
        first_ = 0;
    }
}

void ApicTimer::set_masked(bool masked, u64 now) {
    if (masked != masked_) {
        take_expiry(now); // what ran out while masked is lost, as in hardware
        masked_ = masked;
    }
}

void ApicTimer::set_divide(u32 value, u64 now) {
    take_expiry(now);
    u32 const left = current(now);
    divide_ = value & 0xb;
    // SDM, "Divide configuration register": 000 divides by 2 … 110 by 128, 111 by 1.
    u32 const code = (divide_ & 3) | (divide_ >> 1 & 4);
    divide_shift_ = static_cast<u8>(code == 7 ? 0 : code + 1);
    if (deadline_ != kNever && mode_ != Mode::TscDeadline) {
        start(left, now);
    }
}

void ApicTimer::set_initial(u32 count, u64 now) {
    if (mode_ == Mode::TscDeadline || mode_ == Mode::Reserved) {
        return;
    }
    initial_ = count;
    start(count, now);
}

void ApicTimer::set_tsc_deadline(u64 tsc) {
    if (mode_ == Mode::TscDeadline) {
        deadline_ = tsc == 0 ? kNever : tsc;
    }
}

void ApicTimer::tsc_moves(u64 ticks) {
    if (mode_ != Mode::TscDeadline && deadline_ != kNever) {
        start_ += ticks;
        deadline_ += ticks;
    }
}

u32 ApicTimer::current(u64 now) const {
    if (deadline_ == kNever || mode_ == Mode::TscDeadline || mode_ == Mode::Reserved) {
        return 0;
    }
    u64 const gone = ticks(now - start_);
    if (gone < first_) {
        return static_cast<u32>(first_ - gone);
    }
    if (mode_ == Mode::OneShot || initial_ == 0) {
        return 0;
    }
    return static_cast<u32>(initial_ - (gone - first_) % initial_);
}

u64 ApicTimer::tsc_deadline(u64 now) {
    if (mode_ != Mode::TscDeadline) {
        return 0;
    }
    if (masked_) {
        take_expiry(now);
    }
    return deadline_ == kNever ? 0 : deadline_;
}

void ApicTimer::expire(u64 now) {
    if (mode_ != Mode::Periodic) {
        deadline_ = kNever;
        return;
    }
    u64 const missed = (now - deadline_) / period_;
    start_ = deadline_ + missed * period_;
    first_ = initial_;
    deadline_ = start_ + period_;
}

void ApicTimer::reset() {
    deadline_ = kNever;
    start_ = period_ = first_ = 0;
    initial_ = divide_ = 0;
    divide_shift_ = 1;
    mode_ = Mode::OneShot;
    masked_ = true;
}
} // namespace hv::platform
