// SPDX-License-Identifier: Apache-2.0
// What a debugger asks of a stopped guest, and why the guest stopped.
#pragma once
#include "hv/base/types.hpp"

namespace hv::partition {
struct StopEvent {
    enum class Reason : u8 {
        Halted,     ///< it was asked to, or stands before its first instruction
        Stepped,    ///< the step, or the range of one, is done
        Breakpoint, ///< at an execution point; `software` as it was inserted
        WriteWatch, ///< an access to the watchpoint at `address` is done
        ReadWatch,
        AccessWatch,
        Crashed, ///< it cannot go on, or has reported a panic
    } reason = Reason::Halted;
    u32 vp = 0;
    u64 address = 0;
    bool software = false;
};

struct ResumeOrder {
    enum class Kind : u8 {
        Continue,
        Step,      ///< one instruction
        StepRange, ///< until RIP (linear) leaves [range_first, range_end), or anything else stops it
    } kind = Kind::Continue;
    u64 range_first = 0, range_end = 0;
};
} // namespace hv::partition
