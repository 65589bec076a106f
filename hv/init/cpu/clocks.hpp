// SPDX-License-Identifier: Apache-2.0
// The frequencies of the TSC and of the local APIC's timer, measured once against the 8254.
#pragma once
#include "hv/base/result.hpp"
#include "hv/base/types.hpp"

namespace hv::init {
struct Clocks {
    u64 tsc_hz;
    u64 apic_timer_hz;
    bool from_cpuid; ///< the TSC's frequency came from CPUID 15h
};
enum class ClockError : u8 {
    TimerSilent, ///< the 8254 does not count, and CPUID does not tell
};

/// Takes 10 ms. Boot processor, interrupts masked, local APIC initialised; leaves its timer stopped.
Result<Clocks, ClockError> measure_clocks();

/// Waits that long. PAUSEs.
void delay_us(u64 tsc_hz, u64 microseconds);
} // namespace hv::init
