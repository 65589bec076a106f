// SPDX-License-Identifier: Apache-2.0
// Segment descriptors, interrupt gates and the task-state segment of 64-bit mode. Layout only.
// Source: Intel SDM vol 3A, "Segment Descriptors", "64-Bit Mode IDT" and "Task Management in 64-bit Mode".
#pragma once
#include "hv/base/bits.hpp"

namespace hv::arch {
/// Low (or only) 8 bytes of a segment descriptor.
namespace segment {
using Type = Bits<43, 40>;
using CodeOrData = Bits<44>; // 0: system
using Dpl = Bits<46, 45>;
using Present = Bits<47>;
using LongMode = Bits<53>;
using Default32 = Bits<54>;
using Granularity = Bits<55>;
inline constexpr u64 kTypeCode = 0xb;         ///< execute/read, accessed
inline constexpr u64 kTypeData = 0x3;         ///< read/write, accessed
inline constexpr u64 kTypeTssAvailable = 0x9; ///< LTR makes it busy (0xb)
} // namespace segment

inline constexpr u64 kCode64Descriptor = segment::Type::of(segment::kTypeCode) | segment::CodeOrData::of(1) |
                                         segment::Present::of(1) | segment::LongMode::of(1);
inline constexpr u64 kDataDescriptor =
    segment::Type::of(segment::kTypeData) | segment::CodeOrData::of(1) | segment::Present::of(1);
static_assert(kCode64Descriptor == 0x0020'9b00'0000'0000);
static_assert(kDataDescriptor == 0x0000'9300'0000'0000);

/// A TSS or LDT descriptor takes two slots (SDM, figure "Format of TSS and LDT Descriptors in 64-bit Mode").
struct SystemDescriptor {
    u64 low, high;
};
constexpr SystemDescriptor tss_descriptor(u64 base, u32 limit) {
    u64 const low = (limit & 0xffff) | (base & 0xff'ffff) << 16 |
                    segment::Type::of(segment::kTypeTssAvailable) | segment::Present::of(1) |
                    (u64{limit} >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
    return {low, base >> 32};
}
static_assert(tss_descriptor(0xffff'8000'1234'5678, 0x67).low == 0x1200'8934'5678'0067);
static_assert(tss_descriptor(0xffff'8000'1234'5678, 0x67).high == 0xffff'8000);

/// SDM, figure "64-Bit TSS Format".
struct [[gnu::packed]] Tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7]; ///< ist[n] is what a gate calls stack n + 1
    u64 reserved2;
    u16 reserved3;
    u16 io_map_base; ///< sizeof(Tss): no map
};
static_assert(sizeof(Tss) == 104);

/// SDM, figure "64-Bit IDT Gate Descriptors".
struct Gate {
    u64 low, high;
};
/// An interrupt gate: RFLAGS.IF is cleared on the way in.
/// @param stack  0: keep the present one; 1 to 7: interrupt stack table
constexpr Gate interrupt_gate(u64 handler, u16 code_selector, unsigned stack) {
    constexpr u64 kTypeInterruptGate = 0xe;
    return {(handler & 0xffff) | u64{code_selector} << 16 | u64{stack} << 32 | kTypeInterruptGate << 40 |
                1ull << 47 | (handler >> 16 & 0xffff) << 48,
            handler >> 32};
}
static_assert(interrupt_gate(0xffff'ffff'8012'3456, 8, 2).low == 0x8012'8e02'0008'3456);
static_assert(interrupt_gate(0xffff'ffff'8012'3456, 8, 2).high == 0xffff'ffff);
} // namespace hv::arch
