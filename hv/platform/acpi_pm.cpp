// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/acpi_pm.hpp"
#include "hv/base/bits.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
namespace {
constexpr u16 kBlockBytes = 16; // PM1 event, PM1 control, timer, GPE0: one after the other
static_assert(port::kPm1Control == port::kPm1Event + 4 && port::kPmTimer == port::kPm1Event + 8 &&
              port::kGpe0 == port::kPm1Event + 12);
constexpr u16 kPm1EnableMask = 0x0721; // timer, global lock, power button, sleep button, RTC
constexpr u8 kSciEnable = 1, kControlLowWritable = 0x02;
using SleepType = Bits<4, 2>; // of the control register's high byte
using SleepEnable = Bits<5>;
} // namespace

void AcpiPm::attach_to(PortBus& bus) {
    bus.attach(port::kPm1Event, kBlockBytes, *this, PortBus::Width::Any);
}

void AcpiPm::reset() {
    pm1_enable_ = gpe_enable_ = 0;
    control_low_ = control_high_ = 0;
}

/// 3.579545 MHz from the partition's reference time (10 MHz).
u32 AcpiPm::timer() const {
    constexpr u64 kTicksPer100ns = (static_cast<u64>(kPmTimerHz) << 40) / 10'000'000; // 40 fraction bits
    return static_cast<u32>((static_cast<unsigned __int128>(clock_.reference_time()) * kTicksPer100ns) >> 40);
}

u32 AcpiPm::register32(unsigned index) const {
    switch (index) {
    case 0: return static_cast<u32>(pm1_enable_) << 16; // status: nothing happened
    case 1: return static_cast<u32>(control_high_ << 8 | control_low_ | kSciEnable);
    case 2: return timer();
    case 3: return static_cast<u32>(gpe_enable_) << 16;
    default: return ~0u;
    }
}

u32 AcpiPm::read(u16 port, u8) {
    unsigned const offset = static_cast<unsigned>(port - port::kPm1Event);
    unsigned const shift = offset % 4 * 8;
    u64 value = register32(offset / 4);
    if (shift != 0) {
        value |= static_cast<u64>(register32(offset / 4 + 1)) << 32;
    }
    return static_cast<u32>(value >> shift);
}

void AcpiPm::write(u16 port, u8 size_bytes, u32 value) {
    for (u8 i = 0; i < size_bytes; ++i) {
        write_byte(static_cast<u16>(port + i), static_cast<u8>(value >> (8 * i)));
    }
}

void AcpiPm::write_byte(u16 port, u8 value) {
    switch (port - port::kPm1Event) {
    case 2: pm1_enable_ = static_cast<u16>(((pm1_enable_ & 0xff00) | value) & kPm1EnableMask); break;
    case 3: pm1_enable_ = static_cast<u16>(((pm1_enable_ & 0x00ff) | value << 8) & kPm1EnableMask); break;
    case 4: control_low_ = value & kControlLowWritable; break;
    case 5:
        control_high_ = static_cast<u8>(value & SleepType::mask);
        if (SleepEnable::get(value) == 0) {
            break;
        }
        if (SleepType::get(value) == kPowerOffSleepType) {
            power_.power_off();
        } else {
            ++refused_sleeps_;
        }
        break;
    case 14: gpe_enable_ = static_cast<u16>((gpe_enable_ & 0xff00) | value); break;
    case 15: gpe_enable_ = static_cast<u16>((gpe_enable_ & 0x00ff) | value << 8); break;
    default: break; // status bits clear by writing 1: they are 0; the timer is read-only
    }
}
} // namespace hv::platform
