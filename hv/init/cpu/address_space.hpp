// SPDX-License-Identifier: Apache-2.0
// Where things lie in the hypervisor's address space besides the image and the direct map (boot/handoff):
// stacks, a slot a CPU, with a page below each that is never mapped, so that an overflow faults instead of
// writing over something; and device registers.
//
//   kStackArea + index * kStackSlotBytes:  [guard][main ...][guard][NMI][guard][#DF][guard][#MC]
#pragma once
#include "hv/base/types.hpp"

namespace hv::init {
inline constexpr u64 kStackArea = 0xffff'c000'0000'0000;
inline constexpr u64 kDeviceArea = 0xffff'd000'0000'0000; ///< its first page: the local APIC's registers
inline constexpr u64 kStackSlotBytes = 128 * KiB;
inline constexpr u64 kMainStackBytes = 32 * KiB;
inline constexpr u64 kTrapStackBytes = 8 * KiB;

enum class StackKind : u8 { Main, Nmi, DoubleFault, MachineCheck };
inline constexpr unsigned kStackKinds = 4;
/// Numbers of the interrupt-stack-table entries.
inline constexpr unsigned kNmiStack = 1, kDoubleFaultStack = 2, kMachineCheckStack = 3;

struct StackRange {
    u64 bottom; ///< lowest mapped address; the page below is the guard
    u64 top;    ///< initial RSP
    constexpr bool holds(u64 address) const { return address >= bottom && address < top; }
    constexpr bool guard_holds(u64 address) const {
        return address >= bottom - kPageBytes && address < bottom;
    }
};

constexpr StackRange stack_of(u32 cpu_index, StackKind kind) {
    u64 bottom = kStackArea + cpu_index * kStackSlotBytes + kPageBytes;
    if (kind == StackKind::Main) {
        return {bottom, bottom + kMainStackBytes};
    }
    bottom += kMainStackBytes + kPageBytes + (static_cast<u64>(kind) - 1) * (kTrapStackBytes + kPageBytes);
    return {bottom, bottom + kTrapStackBytes};
}
static_assert(stack_of(0, StackKind::MachineCheck).top <= kStackArea + kStackSlotBytes);
static_assert(stack_of(0, StackKind::Nmi).bottom - kPageBytes == stack_of(0, StackKind::Main).top);
} // namespace hv::init
