// SPDX-License-Identifier: Apache-2.0
// ACPI's fixed hardware: PM1a event and control, the PM timer, GPE0.
// Source: ACPI 6.4, section 4.8 "ACPI hardware specification".
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/port_bus.hpp"
#include "hv/platform/power_events.hpp"

namespace hv::platform {
/// No event ever occurs: the tables declare no fixed buttons and no GPE methods, so the SCI stays silent.
class AcpiPm final : public PortDevice {
  public:
    AcpiPm(PartitionClock const& clock, PowerEvents& power) : clock_{clock}, power_{power} {}

    void attach_to(PortBus&);
    u32 read(u16 port, u8 size_bytes) override;
    void write(u16 port, u8 size_bytes, u32 value) override;
    void reset();
    /// Requests for sleep states other than power-off, which this machine does not have.
    u64 refused_sleeps() const { return refused_sleeps_; }

  private:
    u32 register32(unsigned index) const;
    void write_byte(u16 port, u8 value);
    u32 timer() const;

    PartitionClock const& clock_;
    PowerEvents& power_;
    u16 pm1_enable_ = 0;
    u8 control_low_ = 0;
    u8 control_high_ = 0;
    u16 gpe_enable_ = 0;
    u64 refused_sleeps_ = 0;
};
} // namespace hv::platform
