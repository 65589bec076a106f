// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/chipset_ports.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
namespace {
constexpr u16 kPic1 = 0x20, kKeyboardCommand = 0x64, kPostCode = 0x80, kPortA = 0x92, kPic2 = 0xa0,
              kElcr = 0x4d0, kPciConfig = 0xcf8, kResetControl = 0xcf9, kPciData = 0xcfc;
constexpr u8 kPulseReset = 0xfe; // 8042: pulse output line 0
constexpr u8 kFastReset = 1;     // port 92h, bit 0
constexpr u8 kA20 = 2;           // port 92h, bit 1: always open
constexpr u8 kResetCpu = 4;      // CF9h, bit 2
} // namespace

void ChipsetPorts::attach_to(PortBus& bus) {
    using enum PortBus::Width;
    bus.attach(kPic1, 2, *this, Bytes);
    bus.attach(kKeyboardCommand, 1, *this, Bytes);
    bus.attach(kPostCode, 1, *this, Bytes);
    bus.attach(kPortA, 1, *this, Bytes);
    bus.attach(kPic2, 2, *this, Bytes);
    bus.attach(kElcr, 2, *this, Bytes);
    bus.attach(port::kReset, 1, *this, Bytes);
    // As a whole: a 32-bit PCI address must not look like a byte written to CF9h.
    bus.attach(kPciConfig, 8, *this, Any);
}

u32 ChipsetPorts::read(u16 port, u8 size_bytes) {
    if (port >= kPciData && port < kPciData + 4) {
        return pci_.read_data(static_cast<u8>(port - kPciData), size_bytes);
    }
    switch (port) {
    case kPciConfig: return size_bytes == 4 ? pci_.address() : ~0u;
    case kPortA: return kA20;
    case port::kReset: return 0;
    default: return ~0u;
    }
}

void ChipsetPorts::write(u16 port, u8 size_bytes, u32 value) {
    u8 const byte = static_cast<u8>(value);
    switch (port) {
    case port::kReset:
        if (byte == kResetValue) {
            power_.reset(ResetCause::AcpiRegister);
        }
        break;
    case kKeyboardCommand:
        if (byte == kPulseReset) {
            power_.reset(ResetCause::KeyboardController);
        }
        break;
    case kPortA:
        if ((byte & kFastReset) != 0) {
            power_.reset(ResetCause::FastReset);
        }
        break;
    case kPciConfig:
        if (size_bytes == 4) {
            pci_.set_address(value);
        }
        break;
    case kResetControl:
        if (size_bytes == 1 && (byte & kResetCpu) != 0) {
            power_.reset(ResetCause::ChipsetControl);
        }
        break;
    default: break;
    }
}
} // namespace hv::platform
