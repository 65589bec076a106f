// SPDX-License-Identifier: Apache-2.0
// One instruction at a time: by the monitor trap flag, or where there is none by TF and a #DB that the guest
// does not see.
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
namespace {
namespace f = arch::vmcs;
using arch::vmx::ExitReason;
namespace debug { // DR6, DR7 and the exit qualification agree on these bits
constexpr u64 kBreakpoints = 0xf, kGeneralDetect = 1u << 13;
constexpr u64 kCauses = kBreakpoints | kGeneralDetect | arch::vmx::debug_exit::SingleStep::mask;
} // namespace debug
} // namespace

void VmxVcpu::step_once() {
    step_wanted_ = true;
    work_ |= kControls;
}

/// Arranges for one instruction: by the monitor trap flag, or on a CPU without it by TF and our #DB.
void VmxVcpu::begin_step() {
    if (backend_.controls().has_monitor_trap) {
        primary_ |= static_cast<u32>(arch::vmx::primary::MonitorTrapFlag::mask);
        work_ |= kControls;
        return;
    }
    step_by_trap_flag_ = true;
    step_guest_tf_ = (rflags() & rflags::kTrap) != 0;
    set_rflags(rflags() | rflags::kTrap);
    // In a shadow VM entry would want #DB pending, and that comes before the instruction.
    set_shadow(shadow() & ~kShadowBits);
    work_ |= kTrapFlag;
}

/// Takes back what begin_step() did, right after the exit.
void VmxVcpu::end_step() {
    if (backend_.controls().has_monitor_trap) {
        primary_ &= ~static_cast<u32>(arch::vmx::primary::MonitorTrapFlag::mask);
        work_ |= kControls;
        return;
    }
    if (step_by_trap_flag_ && !step_guest_tf_) {
        set_rflags(rflags() & ~rflags::kTrap);
        work_ |= kTrapFlag;
    }
}
/// The same as finish_exit() while a single step is wanted: that ends with any exit that the caller sees and
/// that is not the host's own.
bool VmxVcpu::finish_step(u32 reason) {
    end_step();
    bool const tell = finish_exit(reason);
    step_by_trap_flag_ = false;
    step_wanted_ = !tell || exit_.kind == ExitKind::HostEvent;
    work_ |= step_wanted_ ? kControls : 0u;
    return tell;
}

/// #DB while we step by TF: is it our step? What else it carries is the guest's and follows at the next
/// entry.
/// @return whether exit_ is a finished step
bool VmxVcpu::finish_single_step(bool core_wants_debug) {
    using arch::vmx::debug_exit::SingleStep;
    if (!step_by_trap_flag_) {
        return false;
    }
    u64 const causes = vmcs_.read(f::exit_qualification);
    u64 const guests = step_guest_tf_ ? causes : SingleStep::set(causes, 0);
    if (SingleStep::get(causes) == 0 || (core_wants_debug && (guests & debug::kBreakpoints) != 0)) {
        return false; // a breakpoint: the core, or the guest, sees that
    }
    if ((guests & debug::kCauses) != 0) {
        record_debug_causes(guests);
        inject({Event::Type::Exception, vector::kDebug, false, 0});
    }
    exit_.kind = ExitKind::SingleStep;
    return true;
}

/// DR6 and DR7.GD as the CPU leaves them when it delivers #DB by itself: an exit in its place does not (SDM
/// vol 3C, "Architectural State Before a VM Exit").
void VmxVcpu::record_debug_causes(u64 causes) {
    arch::write_dr<6>((arch::read_dr<6>() & ~debug::kBreakpoints) | (causes & debug::kCauses));
    vmcs_.write(f::guest_dr7, vmcs_.read(f::guest_dr7) & ~debug::kGeneralDetect);
}

} // namespace hv::vmx
