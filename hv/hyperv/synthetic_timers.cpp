// SPDX-License-Identifier: Apache-2.0
// The rules of the CONFIG and COUNT registers, and expiry.
#include "hv/hyperv/synthetic_timers.hpp"

namespace hv::hyperv {
namespace {
constexpr u64 add_saturating(u64 a, u64 b) {
    return b > kNever - a ? kNever : a + b;
}
} // namespace

void SyntheticTimers::bind(HypervEnvironment& environment, Synic& synic, u32 vp_index) {
    env_ = &environment;
    synic_ = &synic;
    vp_ = vp_index;
    reset();
}

void SyntheticTimers::reset() {
    timers_.fill({});
    waiting_ = 0;
    next_deadline_ = kNever;
}

u64 SyntheticTimers::read_msr(u32 index) const {
    u32 const offset = index - msr::kStimer0Config;
    Timer const& timer = timers_[offset / 2];
    return offset % 2 == 0 ? timer.config : timer.count;
}

void SyntheticTimers::write_msr(u32 index, u64 value) {
    using namespace stimer_config;
    u32 const offset = index - msr::kStimer0Config;
    u32 const number = offset / 2;
    Timer& timer = timers_[number];
    // Either write stops the timer and takes back a message not yet delivered.
    timer.deadline = kNever;
    waiting_ = static_cast<u8>(waiting_ & ~(1u << number));
    if (offset % 2 == 0) {
        bool const nowhere = Direct::get(value) == 0 && Sint::get(value) == 0; // SINT 0 takes no messages
        timer.config = nowhere ? value & ~Enable::mask : value;
    } else {
        timer.count = value;
        if (value == 0) {
            timer.config &= ~Enable::mask;
        } else if (AutoEnable::get(timer.config) != 0) {
            timer.config |= Enable::mask;
        }
    }
    u64 const now = env_->clock.reference_time();
    if (Enable::get(timer.config) != 0 && timer.count != 0) {
        arm(timer, now);
    }
    find_next();
    on_time(now);
}

void SyntheticTimers::arm(Timer& timer, u64 now) {
    bool const periodic = stimer_config::Periodic::get(timer.config) != 0;
    timer.deadline = periodic ? add_saturating(now, std::max(timer.count, kMinPeriod_100ns)) : timer.count;
}

void SyntheticTimers::find_next() {
    next_deadline_ = kNever;
    for (Timer const& timer : timers_) {
        next_deadline_ = std::min(next_deadline_, timer.deadline);
    }
}

void SyntheticTimers::on_time(u64 now) {
    if (now < next_deadline_) return;
    for (u32 i = 0; i < kTimerCount; ++i) {
        if (timers_[i].deadline <= now && timers_[i].deadline != kNever) expire(i, now);
    }
    find_next();
}

void SyntheticTimers::expire(u32 index, u64 now) {
    Timer& timer = timers_[index];
    u64 const expired_at = timer.deadline;
    ++env_->counters.timer_expirations;
    if (stimer_config::Periodic::get(timer.config) == 0) {
        timer.config &= ~stimer_config::Enable::mask;
        timer.deadline = kNever;
    } else {
        u64 const period = std::max(timer.count, kMinPeriod_100ns);
        u64 const missed = (now - expired_at) / period;
        env_->counters.timer_periods_skipped += missed;
        timer.deadline = add_saturating(expired_at + missed * period, period);
    }
    if (stimer_config::Direct::get(timer.config) != 0) {
        env_->interrupts.raise(vp_, static_cast<u8>(stimer_config::Vector::get(timer.config)));
        return;
    }
    timer.expired_at = expired_at;
    waiting_ = static_cast<u8>(waiting_ | 1u << index);
    pump();
}

void SyntheticTimers::pump() {
    for (u32 i = 0; waiting_ >> i != 0; ++i) {
        if ((waiting_ >> i & 1) == 0) continue;
        TimerMessage const body{i, 0, timers_[i].expired_at, env_->clock.reference_time()};
        u32 const sint = static_cast<u32>(stimer_config::Sint::get(timers_[i].config));
        SynicMessage const message{kTimerExpiredMessage, 0,
                                   std::span{reinterpret_cast<u8 const*>(&body), sizeof body}};
        if (synic_->deliver_now(sint, message)) {
            waiting_ = static_cast<u8>(waiting_ & ~(1u << i));
        }
    }
}
} // namespace hv::hyperv
