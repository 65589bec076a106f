// SPDX-License-Identifier: Apache-2.0
// One instruction at a time: by the monitor trap flag, or where there is none by TF and a #DB that the guest
// does not see.
//
// What comes out, and what follows (the same on both backends):
//   the instruction is done                      SingleStep
//   it raised an exception                       SingleStep, the event waits, RIP is on it
//   a breakpoint was hit, on it or by it         Exception 1 with B bits in its place: it ends the step as
//   well TF is the guest's own                        its BS is in that Exception, or follows in one at the
//   next run() anything else                                that exit; if it left RIP on the instruction,
//   step again
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
namespace {
namespace f = arch::vmcs;
namespace debug = arch::vmx::debug_exit;
constexpr u8 kOverflow = 4;
constexpr auto kMonitorTrap = static_cast<u32>(arch::vmx::primary::MonitorTrapFlag::mask);
constexpr auto kWindow = static_cast<u32>(arch::vmx::primary::InterruptWindowExiting::mask);
/// INT3 and INTO are done when their event is delivered, like INT n: the monitor trap flag stops behind it.
constexpr u32 kSoftwareVectors = (1u << vector::kBreakpoint) | (1u << kOverflow);
} // namespace

void VmxVcpu::step_once() {
    step_wanted_ = true;
    work_ |= kControls;
}

/// Arranges for one instruction: by the monitor trap flag, or on a CPU without it by TF and our #DB.
void VmxVcpu::begin_step() {
    work_ |= kControls | kExceptions;
    if (backend_.controls().has_monitor_trap) {
        primary_ |= kMonitorTrap;
        step_exceptions_ = ~kSoftwareVectors;
        return;
    }
    HV_ASSERT(!pending_.valid()); // its frame would show our TF
    step_exceptions_ = ~0u;
    step_by_trap_flag_ = true;
    step_guest_tf_ = (rflags() & rflags::kTrap) != 0;
    set_rflags(rflags() | rflags::kTrap);
    // In a shadow VM entry would want #DB pending, and that comes before the instruction. Without it an
    // interrupt window would.
    step_shadow_ = shadow() & kShadowBits;
    step_window_ = step_shadow_ != 0 ? primary_ & kWindow : 0;
    primary_ &= ~step_window_;
    set_shadow(shadow() & ~kShadowBits);
    work_ |= kTrapFlag;
}

/// Takes back what begin_step() did, right after the exit. The shadow it took is given back: only a step that
/// is done ends it.
void VmxVcpu::end_step() {
    step_exceptions_ = 0;
    primary_ &= ~kMonitorTrap;
    work_ |= kControls | kExceptions;
    if (!step_by_trap_flag_) {
        return;
    }
    primary_ |= step_window_;
    if (step_shadow_ != 0) {
        set_shadow(shadow() | step_shadow_);
    }
    if (!step_guest_tf_) {
        set_rflags(rflags() & ~rflags::kTrap);
    }
    work_ |= kTrapFlag;
}

/// The entry did not take place: the caller asks again.
void VmxVcpu::cancel_step() {
    if (step_wanted_) {
        end_step();
        step_wanted_ = step_by_trap_flag_ = false;
    }
}

/// The same as finish_exit() while a single step is wanted: that ends with any exit that the caller sees.
bool VmxVcpu::finish_step(u32 reason) {
    end_step();
    bool const tell = finish_exit(reason);
    step_by_trap_flag_ = false;
    step_wanted_ = !tell;
    return tell;
}

/// #DB while we step by TF. @return true: exit_ is for the caller
bool VmxVcpu::finish_trap_flag_step(u64 causes) {
    bool const done = debug::SingleStep::get(causes) != 0;
    if (done) {
        set_shadow(shadow() & ~kShadowBits);
    }
    u64 const guests = step_guest_tf_ ? causes : debug::SingleStep::set(causes, 0);
    if (!done || debug::Breakpoints::get(causes) != 0) {
        return report_debug(guests, 0);
    }
    debug_due_ = guests & debug::SingleStep::mask;
    exit_.kind = ExitKind::SingleStep;
    return true;
}

/// The monitor trap comes before the debug traps of the same instruction, which the exit leaves pending (SDM
/// vol 3C, "Monitor Trap Flag", "Saving Non-Register State"). They are reported from here: an event that the
/// core injects next would go first. Behind MOV SS they are not due yet and stay in the VMCS.
bool VmxVcpu::finish_monitor_trap() {
    constexpr u64 kTraps =
        debug::Breakpoints::mask | debug::EnabledBreakpoint::mask | debug::SingleStep::mask;
    exit_.kind = ExitKind::SingleStep;
    exit_.instruction_bytes = 0;
    u64 const traps = vmcs_.read(f::guest_pending_debug_exceptions) & kTraps;
    if (traps == 0 || (shadow() & arch::vmx::interruptibility::BlockingByMovSs::mask) != 0) {
        return true;
    }
    vmcs_.write(f::guest_pending_debug_exceptions, 0);
    work_ |= kTrapFlag;
    if (debug::EnabledBreakpoint::get(traps) != 0) {
        return report_debug(traps, 0);
    }
    debug_due_ = traps & debug::SingleStep::mask;
    return true;
}

} // namespace hv::vmx
