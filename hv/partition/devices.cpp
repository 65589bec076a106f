// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/devices.hpp"

namespace hv::partition {
Devices::Devices(std::string_view name, platform::ProcessorEvents& processors, platform::PowerEvents& power,
                 PartitionClock const& clock, LineSink& sink)
    : name_{name},
      sink_{sink},
      fabric_{apics_, processors},
      io_apic_{fabric_},
      lines_{take_line, this},
      com1_{platform::port::kCom1, lines_, io_apic_.pin(platform::kCom1Irq)},
      rtc_{clock, io_apic_.pin(platform::kRtcIrq)},
      pit_{clock, io_apic_.pin(platform::kPitPin)},
      pm_{clock, power},
      chipset_{power} {
    ports_.attach(platform::port::kCom1, platform::Uart16550::kPorts, com1_, platform::PortBus::Width::Bytes);
    rtc_.attach_to(ports_);
    pit_.attach_to(ports_);
    pm_.attach_to(ports_);
    chipset_.attach_to(ports_);
}

void Devices::take_line(void* context, std::string_view line) {
    auto& self = *static_cast<Devices*>(context);
    self.sink_.line(self.name_, line);
}

void Devices::reset() {
    lines_.flush();
    io_apic_.reset();
    com1_.reset();
    rtc_.reset();
    pit_.reset();
    pm_.reset();
}

void Devices::tick() {
    u64 const sent = com1_.counters().sent;
    if (sent == sent_at_last_tick_ && !lines_.empty()) {
        lines_.flush();
    }
    sent_at_last_tick_ = sent;
}
} // namespace hv::partition
