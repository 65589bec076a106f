// SPDX-License-Identifier: Apache-2.0
// Everything that runs guests, wired together: the virtualization backend (the only place that names both),
// the configuration, the partitions on their processors, the balancer's tick, the operator's console.
#pragma once
#include "hv/init/machine.hpp"
#include "hv/partition/partition_set.hpp"

namespace hv::init {
/// Picks the backend this processor can run and switches virtualization on, on the processor it is called on.
/// The boot processor first; refuses (does not return) when a needed feature is missing.
void enable_virtualization(Machine&, u32 cpu_index);

/// Reads and checks the configuration, makes the partitions, starts those that ask for it. Refuses with a
/// message otherwise. Context: boot processor, before any scheduler runs.
void prepare_guests(Machine&);

/// The run loop of a physical processor.
[[noreturn]] void run_guests(Cpu&);
} // namespace hv::init
