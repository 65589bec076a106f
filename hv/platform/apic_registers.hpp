// SPDX-License-Identifier: Apache-2.0
// Register numbers and fields of the local APIC, common to both modes.
// Source: Intel SDM vol 3A, "Advanced programmable interrupt controller (APIC)".
#pragma once
#include "hv/base/bits.hpp"

namespace hv::platform::apic {
/// SDM, "Local APIC register address map": xAPIC offset / 16 = x2APIC MSR - 0x800.
enum class Register : u8 {
    Id = 0x02,
    Version = 0x03,
    TaskPriority = 0x08,
    ArbitrationPriority = 0x09, ///< xAPIC only
    ProcessorPriority = 0x0a,
    Eoi = 0x0b,
    RemoteRead = 0x0c, ///< xAPIC only
    LogicalDestination = 0x0d,
    DestinationFormat = 0x0e, ///< xAPIC only
    SpuriousVector = 0x0f,
    InService = 0x10,   ///< eight registers
    TriggerMode = 0x18, ///< eight
    Request = 0x20,     ///< eight
    ErrorStatus = 0x28,
    CommandLow = 0x30,
    CommandHigh = 0x31, ///< xAPIC only
    LvtTimer = 0x32,
    LvtThermal = 0x33,
    LvtPerformance = 0x34,
    LvtLint0 = 0x35,
    LvtLint1 = 0x36,
    LvtError = 0x37,
    InitialCount = 0x38,
    CurrentCount = 0x39,
    DivideConfiguration = 0x3e,
    SelfIpi = 0x3f, ///< x2APIC only
};
inline constexpr unsigned kRegisters = 0x40;
inline constexpr u32 kFirstMsr = 0x800;
inline constexpr u32 kPageBytes = 0x1000;
inline constexpr u64 kDefaultBase = 0xfee0'0000;
/// Version 14h, six LVT entries, no EOI-broadcast suppression.
inline constexpr u32 kVersion = 0x0005'0014;

namespace base { // IA32_APIC_BASE
using Bsp = Bits<8>;
using X2apic = Bits<10>;
using Enable = Bits<11>;
} // namespace base

namespace svr { // spurious-interrupt vector register
using Vector = Bits<7, 0>;
using Enable = Bits<8>;
inline constexpr u32 kWritable = 0x1ff;
} // namespace svr

namespace lvt { // local vector table
using Vector = Bits<7, 0>;
using Mode = Bits<10, 8>; ///< of LINT0/1, thermal, performance
using Masked = Bits<16>;
using TimerMode = Bits<18, 17>;                                   ///< 0 one-shot, 1 periodic, 2 TSC deadline
inline constexpr u32 kReadOnly = Bits<12>::mask | Bits<14>::mask; ///< delivery status, remote IRR
inline constexpr u32 kTimerWritable = 0x700ff, kErrorWritable = 0x100ff, kEventWritable = 0x107ff,
                     kLintWritable = 0x1a7ff;
} // namespace lvt

namespace icr { // interrupt command register
using Vector = Bits<7, 0>;
using Mode = Bits<10, 8>;
using Logical = Bits<11>;
using Assert = Bits<14>;
using Level = Bits<15>;
using Shorthand = Bits<19, 18>; ///< 0 none, 1 self, 2 all, 3 all but self
inline constexpr u32 kWritable =
    Vector::mask | Mode::mask | Logical::mask | Assert::mask | Level::mask | Shorthand::mask;
inline constexpr u32 kReservedX2apic = Bits<31, 20>::mask | Bits<17, 16>::mask | Bits<13>::mask;
} // namespace icr

namespace esr { // error status register
inline constexpr u32 kSendIllegalVector = 1u << 5, kReceiveIllegalVector = 1u << 6,
                     kIllegalRegister = 1u << 7;
}

/// Delivery modes of ICR, LVT and I/O APIC entries.
enum class Delivery : u8 {
    Fixed = 0,
    LowestPriority = 1,
    Smi = 2,
    Nmi = 4,
    Init = 5,
    StartUp = 6,
    ExtInt = 7
};
enum class Shorthand : u8 { None, Self, All, AllButSelf };
} // namespace hv::platform::apic
