// SPDX-License-Identifier: Apache-2.0
// A partition's clocks. They start at 0 when the partition starts.
#pragma once
#include "hv/base/wide.hpp"
#include "hv/core/host_services.hpp"
#include "hv/core/interrupt_sink.hpp"

namespace hv::partition {
/// The host TSC at which a guest's has come to @p deadline, any value a guest may write: @p host_now where it
/// has already, kNever where the host's ends before. @p guest_now is the guest's at @p host_now.
constexpr u64 host_deadline(u64 deadline, u64 guest_now, u64 host_now) {
    u64 const left = deadline > guest_now ? deadline - guest_now : 0;
    return left < kNever - host_now ? host_now + left : kNever;
}

class PartitionTime final : public PartitionClock {
  public:
    explicit PartitionTime(HostServices const& host)
        : host_{host},
          units_per_tick_{fraction_of(kUnitsPerSecond, host.tsc_hz())},
          ticks_per_unit_{(host.tsc_hz() << kTickShift) / kUnitsPerSecond + 1} {
        restart();
    }
    /// The partition starts (again): reference time and TSC are 0 now.
    void restart() {
        start_tsc_ = host_.now_tsc();
        guest_offset_ = 0 - start_tsc_;
    }
    /// The clocks have stood still for @p ticks of the host's: TSC and reference time go on where they
    /// stopped. Timers that are kept in either need no change; the caller reloads the processors' TSC
    /// offsets.
    void skip(u64 ticks) {
        start_tsc_ += ticks;
        guest_offset_ -= ticks;
    }
    /// The guest wrote its TSC. Reference time does not move.
    void set_guest_offset(u64 offset) { guest_offset_ = offset; }
    u64 guest_offset() const { return guest_offset_; }

    u64 guest_tsc() const override { return host_.now_tsc() + guest_offset_; }
    u64 tsc_hz() const override { return host_.tsc_hz(); }
    u64 reference_time() const override { return reference_at(host_.now_tsc()); }
    u64 wall_clock() const override { return host_.wall_clock(); }

    /// Reference time at host TSC @p host_tsc.
    u64 reference_at(u64 host_tsc) const { return multiply_high(host_tsc - start_tsc_, units_per_tick_); }
    /// A host TSC at which reference time @p reference has come: a moment late rather than early, so that a
    /// timer that is armed for it finds its time come. kNever for times beyond any deadline a guest can mean.
    u64 host_tsc_at(u64 reference) const {
        constexpr u64 kFarthest = 1ull << 52; // 14 years
        if (reference > kFarthest) {
            return kNever;
        }
        return start_tsc_ + static_cast<u64>(static_cast<u128>(reference) * ticks_per_unit_ >> kTickShift) +
               2;
    }

  private:
    static constexpr u64 kUnitsPerSecond = 10'000'000; ///< reference time counts 100 ns
    static constexpr unsigned kTickShift = 30; ///< fractional bits of ticks_per_unit_; TSCs up to 17 GHz

    HostServices const& host_;
    u64 units_per_tick_; ///< 64 fractional bits
    u64 ticks_per_unit_; ///< kTickShift fractional bits, rounded up
    u64 start_tsc_ = 0;
    u64 guest_offset_ = 0;
};
} // namespace hv::partition
