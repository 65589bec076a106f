// SPDX-License-Identifier: Apache-2.0
// The interrupt descriptor table and who handles what.
#pragma once
#include "hv/init/cpu/trap_frame.hpp"

namespace hv::init {
/// Vectors the hypervisor uses itself. Exceptions are 0 to 31; all others are counted as spurious.
inline constexpr u8 kTimerVector = 0xe0;
inline constexpr u8 kSpuriousVector = 0xff;

/// Fills the table; once, on the boot processor.
void build_interrupt_table();
/// LIDT on the CPU this runs on.
void load_interrupt_table();
} // namespace hv::init
