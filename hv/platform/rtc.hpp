// SPDX-License-Identifier: Apache-2.0
// The MC146818 real-time clock with its CMOS RAM, ports 70h and 71h.
// Source: Motorola MC146818 datasheet; ACPI 6.4 "Real time clock alarm" for the century byte.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/civil_time.hpp"
#include "hv/platform/interrupt_line.hpp"
#include "hv/platform/port_bus.hpp"

namespace hv::platform {
/// Time is the partition's wall clock plus what the guest set. Alarm, update-ended and
/// periodic interrupts; the periodic flag is kept only while its interrupt is enabled. Calls are serialised
/// by the caller.
class Rtc final : public PortDevice {
  public:
    Rtc(PartitionClock const& clock, InterruptLine& line) : clock_{clock}, line_{line} { power_on(); }

    void attach_to(PortBus&);
    u32 read(u16 port, u8 size_bytes) override;
    void write(u16 port, u8 size_bytes, u32 value) override;

    /// Reference time (100 ns) at which on_time() is due; kNever unless the guest enabled an interrupt.
    u64 next_deadline() const { return deadline_; }
    void on_time();

    /// A reset of the machine: interrupts off; time, date and CMOS RAM are on battery.
    void reset();

  private:
    static constexpr unsigned kBytes = 128;
    void power_on();
    u8 read_cmos(u8 index);
    void write_cmos(u8 index, u8 value);
    void write_control(u8 value);
    void latch_time();
    void commit_time();
    void catch_up();
    void plan();
    u64 periodic_hz() const;
    u64 periods() const;
    u64 next_alarm(u64 after_second) const;
    bool alarm_field_matches(u8 index, u8 value) const;
    u64 seconds() const;
    u64 fraction_100ns() const { return clock_.wall_clock() % 10'000'000; }
    u8 encode(u8 value) const;
    u8 decode(u8 value) const;
    u8 encode_hour(u8 hour) const;
    u8 decode_hour(u8 value) const;

    PartitionClock const& clock_;
    InterruptLine& line_;
    u8 cmos_[kBytes] = {}; ///< the time bytes are valid only while the guest sets them
    u8 index_ = 0;
    s64 offset_seconds_ = 0;
    u64 seen_second_ = 0; ///< up to here alarms and updates were noticed
    u64 seen_period_ = 0; ///< periods() at that look
    u64 deadline_ = kNever;
};
} // namespace hv::platform
