// SPDX-License-Identifier: Apache-2.0
// Everything there is one of, and the steps that set it up. main.cpp calls them in order; nothing else
// reaches for the globals: what a module needs is handed to it.
#pragma once
#include "hv/core/housekeeping.hpp"
#include "hv/init/boot/boot_record.hpp"
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/init/cpu/machine_services.hpp"
#include "hv/init/cpu/smp.hpp"
#include "hv/mm/frame_allocator.hpp"
#include "hv/mm/host_page_table.hpp"
#include "hv/mm/owned_frames.hpp"
#include <optional>

namespace hv::init {
struct Machine {
    BootInfo info = {}; ///< our copy of the loader's record
    RamList ram;
    mm::FrameAllocator frames;
    std::optional<mm::OwnedFrames> table_frames; ///< for the hypervisor's own page tables
    std::optional<mm::HostPageTable> space;
    FpuLayout fpu;
    CpuLocal boot_cpu;
    MachineServices services;
    Housekeeping housekeeping; ///< of CPU 0
};

/// Says why the hypervisor cannot run here, for a person who can do something about it, and ends the machine
/// (code 1).
[[noreturn]] void refuse(std::string_view why);

/// Console, descriptor tables, exceptions with traces; checks and copies the loader's record. Nothing of the
/// machine may fault unnoticed after this.
void start_traces(Machine& machine, BootInfo const& record);
/// Processor state, frame allocator, own page tables with guarded stacks. Still on the loader's stack.
void start_memory(Machine& machine);
/// Gives back what the loader needed. On our own stack.
void reclaim_loader_memory(Machine& machine);
/// Local APIC, clocks, the other processors.
void start_processors(Machine& machine);
/// The lines that say what this machine is.
void log_machine(Machine const& machine);

/// A pointer to [span.base, + bytes): the file hv.elf, the device tree.
std::span<u8 const> view(Machine const& machine, ballast::handoff::Span span);
} // namespace hv::init
