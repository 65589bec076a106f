// SPDX-License-Identifier: Apache-2.0
// Numbers and layouts of the Hyper-V guest interface that this hypervisor offers: CPUID bits, synthetic MSRs,
// hypercall codes and statuses, SynIC pages. Constants and layouts only, so that tests, fuzzers and guest
// tools share them. Source: Hyper-V Top Level Functional Specification (TLFS), chapter names beside each
// block.
#pragma once
#include "hv/base/bits.hpp"
#include "hv/base/types.hpp"
#include <array>

namespace hv::hyperv {
// TLFS, "Feature and Interface Discovery" ---------------------------------------------------------------

namespace cpuid {
inline constexpr u32 kFirstLeaf = 0x4000'0000;
inline constexpr u32 kLastLeaf = 0x4000'0006; ///< the highest leaf we announce
inline constexpr u32 kLeaves = kLastLeaf - kFirstLeaf + 1;
inline constexpr u32 kInterface = 0x3123'7648; ///< "Hv#1", leaf 0x40000001 EAX

namespace feature_eax { // leaf 0x40000003, partition privileges 31:0
inline constexpr u32 kTimeRefCount = 1u << 1, kSynic = 1u << 2, kTimers = 1u << 3, kHypercall = 1u << 5,
                     kVpIndex = 1u << 6, kReferenceTsc = 1u << 9, kFrequencies = 1u << 11,
                     kInvariantTsc = 1u << 15;
}
namespace feature_ebx { // leaf 0x40000003, partition privileges 63:32
inline constexpr u32 kPostMessages = 1u << 4, kSignalEvents = 1u << 5;
}
namespace feature_edx { // leaf 0x40000003, features
inline constexpr u32 kFrequencies = 1u << 8, kCrash = 1u << 10, kDirectTimers = 1u << 19;
}
namespace hint_eax { // leaf 0x40000004, recommendations
inline constexpr u32 kRelaxedTiming = 1u << 5, kNoAutoEoi = 1u << 9;
}
} // namespace cpuid

// TLFS, "Synthetic MSRs" --------------------------------------------------------------------------------

namespace msr {
inline constexpr u32 kFirst = 0x4000'0000, kLast = 0x4000'0fff; ///< what we answer for, #GP included
inline constexpr u32 kGuestOsId = 0x4000'0000, kHypercall = 0x4000'0001, kVpIndex = 0x4000'0002,
                     kTimeRefCount = 0x4000'0020, kReferenceTsc = 0x4000'0021, kTscFrequency = 0x4000'0022,
                     kApicFrequency = 0x4000'0023, kVpAssistPage = 0x4000'0073, kScontrol = 0x4000'0080,
                     kSversion = 0x4000'0081, kSiefp = 0x4000'0082, kSimp = 0x4000'0083, kEom = 0x4000'0084,
                     kSint0 = 0x4000'0090, kStimer0Config = 0x4000'00b0, kStimer0Count = 0x4000'00b1,
                     kCrashP0 = 0x4000'0100, kCrashCtl = 0x4000'0105, kTscInvariantControl = 0x4000'0118;
} // namespace msr

/// HYPERCALL, REFERENCE_TSC, SIMP, SIEFP, VP_ASSIST_PAGE share this form.
namespace page_msr {
using Enable = Bits<0>;
using Locked = Bits<1>; ///< HYPERCALL only
using Pfn = Bits<63, 12>;
} // namespace page_msr

namespace crash_ctl {
using Message = Bits<62>;
using Notify = Bits<63>;
} // namespace crash_ctl

// TLFS, "Hypercall Interface" ---------------------------------------------------------------------------

namespace hypercall_control {
using Code = Bits<15, 0>;
using Fast = Bits<16>;
using VariableHeader = Bits<26, 17>; ///< 8-byte units
using Reserved0 = Bits<30, 27>;
using Nested = Bits<31>;
using RepCount = Bits<43, 32>;
using Reserved1 = Bits<47, 44>;
using RepStart = Bits<59, 48>;
using Reserved2 = Bits<63, 60>;
inline constexpr u64 kReservedMask = Reserved0::mask | Reserved1::mask | Reserved2::mask;
} // namespace hypercall_control

inline constexpr u16 kHvCallPostMessage = 0x5c;
inline constexpr u16 kHvCallSignalEvent = 0x5d;

/// HV_STATUS values, bits 15:0 of a hypercall's result.
enum class HypercallStatus : u16 {
    Success = 0,
    InvalidHypercallCode = 2,
    InvalidHypercallInput = 3, ///< the control word
    InvalidAlignment = 4,
    InvalidParameter = 5,
    AccessDenied = 6,
    InsufficientMemory = 11, ///< the caller tries again
    InvalidVpIndex = 14,
    InvalidPortId = 17,
    InvalidConnectionId = 18,
    InsufficientBuffers = 19, ///< the caller tries again
};
inline constexpr usize kHypercallStatusLimit = 20;

inline constexpr usize kMessagePayloadBytes = 240;

/// Input of HvCallPostMessage.
struct PostMessageInput {
    u32 connection_id;
    u32 reserved;
    u32 message_type;
    u32 payload_bytes; ///< 0…240
    std::array<u8, kMessagePayloadBytes> payload;
};
static_assert(sizeof(PostMessageInput) == 256);
inline constexpr usize kPostMessageHeaderBytes = 16;

namespace signal_event_input { // one word, in RDX of a fast call
using ConnectionId = Bits<31, 0>;
using Flag = Bits<47, 32>;
using Reserved = Bits<63, 48>;
} // namespace signal_event_input

// TLFS, "Inter-Partition Communication" -----------------------------------------------------------------

inline constexpr u32 kSintCount = 16;
inline constexpr u32 kEventFlagsPerSint = 2048;
inline constexpr usize kSintSlotBytes = 256; ///< of both the message page and the event flags page

namespace sint {
using Vector = Bits<7, 0>;
using Masked = Bits<16>;
using AutoEoi = Bits<17>;
using Polling = Bits<18>; ///< deliver, but raise no interrupt
inline constexpr u64 kReset = Masked::of(1);
} // namespace sint

/// One slot of the SynIC message page.
struct MessageSlot {
    u32 type; ///< 0 = free
    u8 payload_bytes;
    u8 flags; ///< bit 0: another message waits, write EOM
    u16 reserved;
    u64 sender;
    std::array<u8, kMessagePayloadBytes> payload;
};
static_assert(sizeof(MessageSlot) == kSintSlotBytes);
inline constexpr u8 kMessagePending = 1;
inline constexpr u32 kHypervisorMessageBit = 0x8000'0000; ///< types a guest cannot post
inline constexpr u32 kTimerExpiredMessage = 0x8000'0010;

struct TimerMessage {
    u32 timer_index;
    u32 reserved;
    u64 expiration_time_100ns;
    u64 delivery_time_100ns;
};
static_assert(sizeof(TimerMessage) == 24);

// TLFS, "Timers" ----------------------------------------------------------------------------------------

inline constexpr u32 kTimerCount = 4;
namespace stimer_config {
using Enable = Bits<0>;
using Periodic = Bits<1>;
using Lazy = Bits<2>;
using AutoEnable = Bits<3>;
using Vector = Bits<11, 4>;
using Direct = Bits<12>;
using Sint = Bits<19, 16>;
} // namespace stimer_config

/// The start of the reference TSC page: time = ((tsc × scale) >> 64) + offset, valid while sequence ≠ 0.
struct ReferenceTscPage {
    u32 sequence;
    u32 reserved;
    u64 scale;
    s64 offset;
};
static_assert(sizeof(ReferenceTscPage) == 24);
} // namespace hv::hyperv
