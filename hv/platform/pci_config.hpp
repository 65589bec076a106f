// SPDX-License-Identifier: Apache-2.0
// PCI configuration mechanism 1 with one device behind it: a host bridge, so that kernels find a bus that is
// there and empty. Source: PCI Local Bus Specification 3.0, "Configuration Mechanism #1".
#pragma once
#include "hv/platform/port_bus.hpp"

namespace hv::platform {
/// Ports CF8h–CFFh without CF9h's reset register, which is the chipset's. Read only but for the address.
class PciConfig {
  public:
    /// A 32-bit access to CF8h.
    u32 address() const { return address_; }
    void set_address(u32 value) { address_ = value & 0x80ff'fffc; }
    /// Bytes at CFCh + @p offset. @param size_bytes 1, 2 or 4
    u32 read_data(u8 offset, u8 size_bytes) const;

  private:
    u32 address_ = 0;
};
} // namespace hv::platform
