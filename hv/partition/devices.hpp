// SPDX-License-Identifier: Apache-2.0
// The platform of one partition put together: interrupt wiring, I/O APIC, serial port, clock, power
// management, on their ports and pages.
#pragma once
#include "hv/platform/acpi_pm.hpp"
#include "hv/platform/chipset_ports.hpp"
#include "hv/platform/interrupt_fabric.hpp"
#include "hv/platform/io_apic.hpp"
#include "hv/platform/pit.hpp"
#include "hv/platform/rtc.hpp"
#include "hv/platform/serial_sink.hpp"
#include "hv/platform/uart16550.hpp"

namespace hv::partition {
/// Where a partition's console lines go. Must not wait.
class LineSink {
  public:
    virtual ~LineSink() = default;
    virtual void line(std::string_view partition, std::string_view text) = 0;
};

class Devices {
  public:
    Devices(std::string_view name, platform::ProcessorEvents&, platform::PowerEvents&, PartitionClock const&,
            LineSink&);

    platform::InterruptFabric& fabric() { return fabric_; }
    platform::IoApic& io_apic() { return io_apic_; }
    platform::PortBus& ports() { return ports_; }
    platform::Uart16550& com1() { return com1_; }
    void reset();
    /// A line without an end is shown once the guest has been silent for a tick.
    void tick();
    /// Reference time at which on_time() is due, or kNever.
    u64 next_deadline() const {
        return rtc_.next_deadline() < pit_.next_deadline() ? rtc_.next_deadline() : pit_.next_deadline();
    }
    void on_time(u64 reference) {
        if (reference >= rtc_.next_deadline()) {
            rtc_.on_time();
        }
        if (reference >= pit_.next_deadline()) {
            pit_.on_time();
        }
    }

  private:
    static void take_line(void* context, std::string_view line);

    std::string_view name_;
    LineSink& sink_;
    platform::LocalApic* apics_[1] = {};
    platform::InterruptFabric fabric_;
    platform::IoApic io_apic_;
    platform::PortBus ports_;
    platform::LineCollector lines_;
    platform::Uart16550 com1_;
    platform::Rtc rtc_;
    platform::Pit pit_;
    platform::AcpiPm pm_;
    platform::ChipsetPorts chipset_;
    u64 sent_at_last_tick_ = 0;
};
} // namespace hv::partition
