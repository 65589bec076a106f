// SPDX-License-Identifier: Apache-2.0
// One physical processor, as everything above hv/init sees it. It is passed as Cpu&, never fetched from a
// global; hv/init/cpu embeds it in the structure that also holds the stacks, GDT and TSS.
#pragma once
#include "hv/core/interrupt_sink.hpp"

namespace hv {
struct Cpu {
    /// 1: kick() was called since the core last looked. Set by the NMI handler on this CPU, cleared by the
    /// run loop before it looks for work. 32 bits at offset 0: assembly compares it (hv/init/README.md,
    /// "Kicks").
    u32 kicked = 0;
    u32 index = 0;   ///< dense, 0 is the boot processor
    u32 apic_id = 0; ///< physical APIC id
    u32 node = 0;    ///< NUMA node, dense; some nodes have no memory

    /// Host TSC at which the timer interrupt is due, kNever when it is off. Written by HostServices only.
    u64 armed_deadline_tsc = kNever;
    void* scheduler = nullptr; ///< hv/core's run queue for this CPU

    u64 timer_interrupts = 0;
    u64 nmis = 0;                ///< kicks that arrived, and NMIs of other origin
    u64 spurious_interrupts = 0; ///< vectors nobody asked for; acknowledged and counted

    Cpu() = default;
    Cpu(Cpu const&) = delete;
    Cpu& operator=(Cpu const&) = delete;
};
static_assert(__builtin_offsetof(Cpu, kicked) == 0);
} // namespace hv
