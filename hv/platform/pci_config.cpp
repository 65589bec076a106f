// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/pci_config.hpp"
#include "hv/base/bits.hpp"

namespace hv::platform {
namespace {
using Enable = Bits<31>;
using BusDeviceFunction = Bits<23, 8>;
using Register = Bits<7, 2>;

/// The header of 00:00.0, as a generation 1 Hyper-V machine has it: an 82443BX without AGP and without
/// resources.
constexpr u32 host_bridge(u32 dword) {
    switch (dword) {
    case 0: return 0x7192'8086; // device, vendor
    case 1: return 0x0200'0006; // status (medium DEVSEL), command (memory, bus master)
    case 2: return 0x0600'0003; // class: host bridge; revision
    default: return 0;
    }
}
} // namespace

u32 PciConfig::read_data(u8 offset, u8 size_bytes) const {
    if (Enable::get(address_) == 0 || BusDeviceFunction::get(address_) != 0 || offset + size_bytes > 4) {
        return ~0u;
    }
    return host_bridge(static_cast<u32>(Register::get(address_))) >> (8 * offset);
}
} // namespace hv::platform
