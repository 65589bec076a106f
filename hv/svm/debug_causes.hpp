// SPDX-License-Identifier: Apache-2.0
// What DR6 says after a #DB that exited. Pure.
#pragma once
#include "hv/base/bits.hpp"

namespace hv::svm {
/// AMD APM vol 2 §13.1.1, "Debug-Status Register (DR6)".
namespace dr6 {
inline constexpr u64 kBreakpoints = 0xf, kGeneralDetect = 1u << 13, kSingleStep = 1u << 14,
                     kTaskSwitch = 1u << 15;
/// No cause. VMCB.DR6 is always that at VMRUN, so what #VMEXIT leaves there is new.
inline constexpr u64 kIdle = 0xffff'0ff0;
} // namespace dr6

/// Which of B0–B3 can be reported with @p dr7.
struct EnabledPoints {
    u64 all = 0;
    u64 code = 0; ///< of these, the ones met before an instruction runs (R/Wn = 0), not after it
};
constexpr EnabledPoints enabled_points(u64 dr7) {
    EnabledPoints points;
    for (unsigned n = 0; n < 4; ++n) {
        u64 const enabled = (dr7 >> (2 * n) & 3) != 0 ? 1u << n : 0u;
        points.all |= enabled;
        points.code |= (dr7 >> (16 + 4 * n) & 3) == 0 ? enabled : 0;
    }
    return points;
}
static_assert(enabled_points(0x0001'0405).all == 3 && enabled_points(0x0001'0405).code == 2);

struct DebugCauses {
    u64 bits = 0;      ///< of DR6
    bool trap = false; ///< an instruction has run: BS, BT, data and I/O breakpoints
};
/// The causes in DR6. A processor may set a B bit whose breakpoint is not enabled; that is none. One emulator
/// sets the bit of a code breakpoint on the next instruction together with a trap's: it has not been met yet,
/// and comes as a fault of its own.
constexpr DebugCauses debug_causes(u64 dr6_value, u64 dr7) {
    EnabledPoints const points = (dr6_value & dr6::kBreakpoints) != 0 ? enabled_points(dr7) : EnabledPoints{};
    u64 const traps = dr6_value & ((points.all & ~points.code) | dr6::kSingleStep | dr6::kTaskSwitch);
    u64 const faults = dr6_value & (points.code | dr6::kGeneralDetect);
    return traps != 0 ? DebugCauses{traps, true} : DebugCauses{faults, false};
}
static_assert(debug_causes(0xffff'4ff3, 0x0001'0405).bits == 0x4001);
static_assert(debug_causes(0xffff'0ffe, 0x0001'0405).bits == 2);
} // namespace hv::svm
