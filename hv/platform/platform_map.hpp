// SPDX-License-Identifier: Apache-2.0
// Port numbers and interrupt lines of the platform: what the devices answer to and what the ACPI tables say.
#pragma once
#include "hv/base/types.hpp"

namespace hv::platform {
namespace port {
inline constexpr u16 kPm1Event = 0x400;   ///< 4 bytes: status, enable
inline constexpr u16 kPm1Control = 0x404; ///< 2 bytes
inline constexpr u16 kPmTimer = 0x408;    ///< 4 bytes
inline constexpr u16 kGpe0 = 0x40c;       ///< 4 bytes: status, enable
inline constexpr u16 kReset = 0x433;
inline constexpr u16 kCom1 = 0x3f8;
inline constexpr u16 kRtc = 0x70;
inline constexpr u16 kPit = 0x40;       ///< 4 bytes
inline constexpr u16 kNmiStatus = 0x61; ///< gate and output of the PIT's counter 2
} // namespace port
inline constexpr u8 kResetValue = 1;
inline constexpr u8 kRtcCentury = 0x32; ///< CMOS index
inline constexpr u8 kPowerOffSleepType = 0;

inline constexpr u8 kPitPin = 2; ///< of the I/O APIC: ISA interrupt 0 comes in there (MADT)
inline constexpr u8 kCom1Irq = 4, kRtcIrq = 8, kSciIrq = 9;
inline constexpr u32 kIoApicBase = 0xfec0'0000;
inline constexpr u32 kPmTimerHz = 3'579'545;
} // namespace hv::platform
