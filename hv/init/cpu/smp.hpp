// SPDX-License-Identifier: Apache-2.0
// Brings up the other processors, one after the other, by INIT and SIPI. Before any VMXON: an INIT to a
// processor in VMX operation is lost.
#pragma once
#include "hv/init/boot/boot_record.hpp"
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/init/cpu/machine_services.hpp"
#include "hv/mm/frame_allocator.hpp"
#include "hv/mm/host_page_table.hpp"

namespace hv::init {
struct SmpSetup {
    BootInfo const& info;
    mm::FrameAllocator& frames;
    mm::HostPageTable& space;
    MachineServices& services;
};

/// Maps the stacks of CPU @p index, with frames of @p node while it has any.
/// @return false when there is no memory.
bool map_stacks(mm::HostPageTable& space, mm::FrameAllocator& frames, u32 index, u32 node);

/// Starts every CPU of the record but the first; those that do not answer are logged with their APIC id and
/// left out. Each that comes up waits for release_processors().
void start_processors(SmpSetup const& setup);

/// Sends all of them, at once, into @p main, which must not return.
using ProcessorMain = void (*)(Cpu&);
void release_processors(MachineServices& services, ProcessorMain main);
} // namespace hv::init
