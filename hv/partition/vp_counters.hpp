// SPDX-License-Identifier: Apache-2.0
// What a virtual processor did, for the operator: exits by kind and every liberty a guest took.
#pragma once
#include "hv/core/exit.hpp"

namespace hv::partition {
inline constexpr u32 kExitKinds = static_cast<u32>(ExitKind::Unknown) + 1;
constexpr char const* kExitNames[kExitKinds] = {"host event",       "cpuid",
                                                "hypercall",        "io",
                                                "msr read",         "msr write",
                                                "nested fault",     "halt",
                                                "interrupt window", "control register",
                                                "debug register",   "xsetbv",
                                                "cache control",    "invalid opcode",
                                                "exception",        "single step",
                                                "triple fault",     "entry failed",
                                                "unknown"};

struct VpCounters {
    u64 exits[kExitKinds] = {};
    u64 interrupts_injected = 0;
    u64 unknown_msrs = 0;       ///< #GP for a register nobody has
    u64 hole_touches = 0;       ///< page tables or code at addresses where nothing is: #GP
    u64 refused_writes = 0;     ///< #GP for CR, EFER, XCR0 values a guest may not have
    u64 emulation_failures = 0; ///< instructions the emulator does not know: #UD
    u64 triple_faults = 0;
};
} // namespace hv::partition
