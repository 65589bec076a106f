// SPDX-License-Identifier: Apache-2.0
// The last thing the machine does.
#pragma once
#include "hv/base/types.hpp"

namespace hv::init {
/// Sends what the console still holds and switches the machine off, as far as there is a way to: QEMU's
/// isa-debug-exit (status = code * 2 + 1), Bochs's shutdown port; otherwise this CPU halts for good. Other
/// CPUs are not stopped.
[[noreturn]] void machine_end(u32 code);

/// CLI; HLT for ever.
[[noreturn]] void halt_for_ever();
} // namespace hv::init
