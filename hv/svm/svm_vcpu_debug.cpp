// SPDX-License-Identifier: Apache-2.0
// What a debugger, and a guest that debugs itself, want of the processor: armed breakpoints, one instruction
// at a time, and every #DB.
#include "hv/svm/debug_causes.hpp"
#include "hv/svm/svm_vcpu.hpp"
#include "hv/svm/vmcb_setup.hpp"
#include "hv/svm/world_switch.hpp"

namespace hv::svm {
namespace {
namespace clean = arch::svm::clean;

} // namespace

void SvmVcpu::arm_breakpoints(HardwareBreakpoints const& wanted) {
    if (wanted == points_ || (!wanted.any() && !points_.any())) {
        return;
    }
    points_ = wanted;
    pending_ = wanted.any() ? pending_ | kPoints | kLoadPoints : pending_ & ~u32{kPoints | kLoadPoints};
    vmcb_.state.dr7 = wanted.any() ? wanted.dr7 | HardwareBreakpoints::kNone : HardwareBreakpoints::kNone;
    mark_written(clean::kDebugRegisters);
}

// DR0 to DR3 are not switched by VMRUN. DR7 is, and that is all silicon needs. Software QEMU 7.2 looks at
// breakpoints only when MOV DR7 runs: what the host enabled just before VMRUN goes on in the guest. So that
// is done as well (world_switch.S). There nothing but our code and stack is met with them enabled; a guest's
// breakpoint in that part of the address space stays out.
void SvmVcpu::load_points() {
    pending_ &= ~u32{kLoadPoints};
    hv_svm_write_breakpoint_addresses(points_.address);
    host_dr7_ = vmcb_.state.dr7;
    for (unsigned n = 0; n < 4; ++n) {
        if (hv_svm_is_own_address(points_.address[n])) {
            host_dr7_ &= ~(u64{3} << (2 * n));
        }
    }
}

void SvmVcpu::step_once() {
    pending_ |= kStep;
}

// Exceptions exit while we step: delivered by the processor they would leave our trap flag on the guest's
// stack. In a shadow we step whatever comes next: what loads or stores flags exits too, and SYSCALL and
// SYSRET, for which there is no intercept, are made #UD. step_once() is not asked for those, or the caller
// repairs what they did (hv/debug/step_plan.hpp).
void SvmVcpu::arm_step() {
    arch::VmcbControl& control = vmcb_.control;
    arch::VmcbState& state = vmcb_.state;
    HV_ASSERT(armed_ == Step::Window || !injected_valid_);
    saved_tf_ = state.rflags & rflags::kTrap;
    state.rflags |= rflags::kTrap;
    control.intercept_exceptions |= kDefinedExceptions;
    mark_dirty(clean::kIntercepts);
    if (armed_ == Step::Window) {
        control.intercept_instructions1 |= kFlagsIntercepts;
        saved_sce_ = state.efer & efer::kSce;
        state.efer &= ~efer::kSce;
        mark_dirty(clean::kControlRegisters);
    }
}

// Takes our trap flag out again. armed_ stays for handle() to see until the next entry.
void SvmVcpu::disarm_step() {
    arch::VmcbControl& control = vmcb_.control;
    arch::VmcbState& state = vmcb_.state;
    state.rflags = (state.rflags & ~rflags::kTrap) | saved_tf_;
    control.intercept_exceptions = kAlwaysInterceptedExceptions | wanted_exceptions_;
    mark_dirty(clean::kIntercepts);
    if (armed_ == Step::Window) {
        control.intercept_instructions1 &= ~kFlagsIntercepts;
        if (nmi_ == Nmi::Blocked) {
            control.intercept_instructions1 |= arch::svm::intercept1::kIret;
        }
        state.efer |= saved_sce_;
        mark_dirty(clean::kControlRegisters);
    }
    if (window_wanted_ && entered_in_shadow_) {
        pending_ |= kWindow; // open_window() left it closed
    }
}

/// Whether this exit is a #DB that comes when an instruction is done.
bool SvmVcpu::ended_behind_instruction() const {
    return vmcb_.control.exit_code == arch::svm::exit::kException + vector::kDebug &&
           debug_causes(vmcb_.state.dr6, vmcb_.state.dr7).trap;
}

/// #DB. A step that meets a breakpoint is that Exception and nothing else: behind a data breakpoint the
/// instruction is done, at a code breakpoint (never together with another cause) it has not begun. BS is in
/// it only if the guest has set TF itself; such a BS alone follows the SingleStep, at the next run().
bool SvmVcpu::handle_debug() {
    u64& dr6_value = vmcb_.state.dr6;
    u64 causes = debug_causes(dr6_value, vmcb_.state.dr7).bits;
    if (dr6_value != dr6::kIdle) {
        dr6_value = dr6::kIdle;
        mark_dirty(clean::kDebugRegisters);
    }
    if (armed_ == Step::None || (causes & dr6::kSingleStep) == 0) {
        return report_debug(causes);
    }
    u64 const others = causes & ~dr6::kSingleStep;
    causes = saved_tf_ != 0 ? causes : others;
    if (armed_ == Step::Core && others == 0) {
        due_causes_ = causes;
        pending_ |= causes != 0 ? kDebugDue : 0u;
        return report(ExitKind::SingleStep);
    }
    if (causes == 0) {
        return can_take_interrupt() && report(ExitKind::InterruptWindow);
    }
    return report_debug(causes);
}

bool SvmVcpu::report_debug(u64 causes) {
    exit_.exception = {vector::kDebug, false, 0, causes};
    return report(ExitKind::Exception);
}
} // namespace hv::svm
