// SPDX-License-Identifier: Apache-2.0
// The machine's local APIC: register offsets, local vector table entries and interrupt commands. Layout only.
// Source: Intel SDM vol 3A, table "Local APIC Register Address Map", figures "Local Vector Table (LVT)" and
// "Interrupt Command Register (ICR)"; in x2APIC mode register r is MSR 800h + r / 16.
#pragma once
#include "hv/base/bits.hpp"

namespace hv::arch {
inline constexpr u32 IA32_APIC_BASE = 0x1b;
namespace apic_base {
using BootProcessor = Bits<8>;
using X2apic = Bits<10>;
using Enable = Bits<11>;
using Address = Bits<51, 12>;
} // namespace apic_base

namespace apic {
inline constexpr u32 kId = 0x20, kVersion = 0x30, kTaskPriority = 0x80, kEoi = 0xb0, kSpurious = 0xf0,
                     kInService = 0x100, kErrorStatus = 0x280, kCommandLow = 0x300, kCommandHigh = 0x310,
                     kLvtTimer = 0x320, kLvtThermal = 0x330, kLvtPerformance = 0x340, kLvtLint0 = 0x350,
                     kLvtLint1 = 0x360, kLvtError = 0x370, kInitialCount = 0x380, kCurrentCount = 0x390,
                     kDivide = 0x3e0;
inline constexpr u32 kX2apicMsrBase = 0x800;
inline constexpr u32 x2apic_msr(u32 offset) {
    return kX2apicMsrBase + offset / 16;
}
static_assert(x2apic_msr(kCommandLow) == 0x830 && x2apic_msr(kEoi) == 0x80b);

using XapicId = Bits<31, 24>;
using MaxLvtEntry = Bits<23, 16>;
using SoftwareEnable = Bits<8>; // of kSpurious

using LvtVector = Bits<7, 0>;
using LvtMasked = Bits<16>;
using LvtTimerMode = Bits<18, 17>;
inline constexpr u64 kTimerOneShot = 0;
inline constexpr u32 kDivideBy1 = 0xb;

using CommandVector = Bits<7, 0>;
using CommandDelivery = Bits<10, 8>;
inline constexpr u64 kDeliverFixed = 0, kDeliverNmi = 4, kDeliverInit = 5, kDeliverStartup = 6;
using CommandPending = Bits<12>; // xAPIC only
using CommandAssert = Bits<14>;
using CommandShorthand = Bits<19, 18>;
inline constexpr u64 kAllButSelf = 3;

/// Low half of an interrupt command to one processor, edge triggered.
constexpr u32 command(u64 delivery, u8 vector, u64 shorthand = 0) {
    return static_cast<u32>(CommandVector::of(vector) | CommandDelivery::of(delivery) | CommandAssert::of(1) |
                            CommandShorthand::of(shorthand));
}
static_assert(command(kDeliverInit, 0) == 0x4500);    // SDM, "MP Initialization Example": 000C4500H
static_assert(command(kDeliverStartup, 8) == 0x4608); // with the all-but-self shorthand
static_assert(command(kDeliverNmi, 0, kAllButSelf) == 0xc4400);
} // namespace apic
} // namespace hv::arch
