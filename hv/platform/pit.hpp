// SPDX-License-Identifier: Apache-2.0
// The 8254 interval timer at ports 40h to 43h, and the port that gates its counter 2 (61h).
// Source: Intel 8254 Programmable Interval Timer datasheet; "NMI status and control" (61h) of Intel's chipset
// datasheets.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/interrupt_line.hpp"
#include "hv/platform/port_bus.hpp"

namespace hv::platform {
/// Counters 0 (interrupt) and 2 (speaker, calibration); 1 is there and drives nothing. Modes 0, 2, 3 and 4,
/// binary: mode 1 behaves as 0, 5 as 4, BCD counts as binary. A count written while counting begins at once.
/// Calls are serialised by the caller.
class Pit final : public PortDevice {
  public:
    static constexpr u64 kHz = 1'193'182;
    /// Shortest distance of two interrupts, as for synthetic timers: a guest's count of 1 is no reason to
    /// keep the host busy. The counter itself can be read at its own pace.
    static constexpr u64 kMinPeriod_100ns = 500;

    Pit(PartitionClock const& clock, InterruptLine& line) : clock_{clock}, line_{line} {}
    void attach_to(PortBus&);
    u32 read(u16 port, u8 size_bytes) override;
    void write(u16 port, u8 size_bytes, u32 value) override;

    /// Reference time (100 ns) at which on_time() is due; kNever while counter 0 makes no interrupts.
    u64 next_deadline() const { return deadline_; }
    void on_time();
    void reset();

  private:
    struct Counter {
        u8 mode = 0;
        u8 access = 3;           ///< of the control word: 1 low byte, 2 high byte, 3 low then high
        bool programmed = false; ///< a mode was written
        bool loaded = false;     ///< and a count
        bool gate = true;
        bool write_high = false, read_high = false; ///< the next byte is the second of two
        u8 low_byte = 0;
        u8 latched = 0; ///< bytes of `latch` still to be read
        bool status_latched = false;
        u8 status = 0;
        u16 latch = 0;
        u32 count = 0x10000; ///< 1 … 10000h
        u64 start = 0;       ///< reference time at which counting began
        u64 paused = 0;      ///< clocks that had passed when the gate went low (modes 0 and 4)
        bool periodic() const { return mode == 2 || mode == 3; }
    };

    u64 elapsed(Counter const&) const;
    u16 value(Counter const&) const;
    bool output(Counter const&) const;
    void control(u8 word);
    void latch_count(Counter&);
    void load(Counter&, u32 count);
    void set_gate(Counter&, bool);
    void write_count(Counter&, u8 byte);
    u8 read_count(Counter&);
    void plan();

    PartitionClock const& clock_;
    InterruptLine& line_;
    Counter counters_[3];
    u64 deadline_ = kNever;
    u64 fired_at_ = 0;     ///< reference time of the last interrupt
    bool armed_ = false;   ///< counter 0 has an interrupt to make
    bool speaker_ = false; ///< port 61h, bit 1
    bool refresh_ = false;
};
} // namespace hv::platform
