// SPDX-License-Identifier: Apache-2.0
// Ports of the classic PC that guests touch without needing what is behind them, and the ways to a reset.
#pragma once
#include "hv/platform/pci_config.hpp"
#include "hv/platform/port_bus.hpp"
#include "hv/platform/power_events.hpp"

namespace hv::platform {
/// Interrupt controllers (writes ignored, reads all ones), POST code, the PCI configuration mechanism, and
/// four reset registers.
class ChipsetPorts final : public PortDevice {
  public:
    explicit ChipsetPorts(PowerEvents& power) : power_{power} {}
    void attach_to(PortBus&);
    u32 read(u16 port, u8 size_bytes) override;
    void write(u16 port, u8 size_bytes, u32 value) override;

  private:
    PowerEvents& power_;
    PciConfig pci_;
};
} // namespace hv::platform
