// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/interrupts.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/core/registers.hpp"
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/init/cpu/local_apic.hpp"
#include "hv/init/cpu/panic.hpp"

namespace hv::init {
namespace {
constexpr unsigned kVectors = 256;
constinit arch::Gate interrupt_table[kVectors] = {};

unsigned stack_for(unsigned v) {
    switch (v) {
    case vector::kNmi: return kNmiStack;
    case vector::kDoubleFault: return kDoubleFaultStack;
    case vector::kMachineCheck: return kMachineCheckStack;
    default: return 0;
    }
}

/// Code that looks at Cpu::kicked and then halts or enters a guest names itself in section .nmi_ranges: an
/// NMI between the two would go unnoticed until something else happens, so it continues at `landing` instead
/// (README, "Kicks").
struct NmiRange {
    u64 first, end, landing;
};
extern "C" NmiRange const nmi_ranges_start[];
extern "C" NmiRange const nmi_ranges_end[];

/// Where a guest's breakpoints are enabled with the host's code around (section .breakpoint_ranges: first
/// address, end): a #DB there is nobody's.
struct BreakpointRange {
    u64 first, end;
};
extern "C" BreakpointRange const breakpoint_ranges_start[];
extern "C" BreakpointRange const breakpoint_ranges_end[];

bool ignore_debug(TrapFrame& frame) {
    for (BreakpointRange const* range = breakpoint_ranges_start; range != breakpoint_ranges_end; ++range) {
        if (frame.vector == vector::kDebug && frame.rip >= range->first && frame.rip < range->end) {
            frame.rflags |= rflags::kResume;
            return true;
        }
    }
    return false;
}

void handle_nmi(CpuLocal& local, TrapFrame& frame) {
    park_if_panicking();
    ++local.cpu.nmis;
    __atomic_store_n(&local.cpu.kicked, 1, __ATOMIC_RELAXED);
    for (NmiRange const* range = nmi_ranges_start; range != nmi_ranges_end; ++range) {
        if (frame.rip >= range->first && frame.rip < range->end) {
            frame.rip = range->landing;
        }
    }
}
} // namespace

extern "C" void hv_handle_trap(TrapFrame* frame) {
    CpuLocal& local = *this_cpu();
    if (frame->vector == vector::kNmi) {
        handle_nmi(local, *frame);
        return;
    }
    if (frame->vector < 32) {
        if (ignore_debug(*frame)) {
            return;
        }
        crash(*frame);
    }
    if (frame->vector == kTimerVector) {
        local.cpu.armed_deadline_tsc = kNever;
        ++local.cpu.timer_interrupts;
        local_apic().end_of_interrupt();
        return;
    }
    ++local.cpu.spurious_interrupts;
    if (local_apic().in_service(static_cast<u8>(frame->vector))) {
        local_apic().end_of_interrupt();
    }
}

void build_interrupt_table() {
    for (unsigned v = 0; v < kVectors; ++v) {
        u64 const entry = reinterpret_cast<u64>(entry_of(v));
        interrupt_table[v] = arch::interrupt_gate(entry, kCodeSelector, stack_for(v));
    }
}

void load_interrupt_table() {
    arch::lidt({sizeof interrupt_table - 1, reinterpret_cast<u64>(interrupt_table)});
}
} // namespace hv::init
