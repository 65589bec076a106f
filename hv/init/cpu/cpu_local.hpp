// SPDX-License-Identifier: Apache-2.0
// A physical processor with what the hardware wants of it: descriptor tables, task state, stacks. Everyone
// but hv/init sees only the Cpu inside.
#pragma once
#include "hv/arch/descriptors.hpp"
#include "hv/core/cpu.hpp"
#include "hv/init/cpu/address_space.hpp"

namespace hv::init {
inline constexpr u16 kCodeSelector = 0x08, kDataSelector = 0x10, kTssSelector = 0x18;

struct CpuLocal {
    Cpu cpu; ///< first, so that a pointer to one is a pointer to the other
    alignas(16) u64 gdt[5] = {};
    arch::Tss tss = {};
};

/// Loads @p local's GDT and TSS and the common IDT on the CPU this runs on. The stacks of @p local.cpu.index
/// must be mapped before the first NMI, #DF or #MC.
void install_descriptors(CpuLocal& local);

/// The processor this runs on. For trap handlers and panic(), which nobody hands a Cpu&; null before
/// install_descriptors().
CpuLocal* this_cpu();
} // namespace hv::init
