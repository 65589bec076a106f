// SPDX-License-Identifier: Apache-2.0
// The way in and out of the guest. Register access is svm_vcpu_state.cpp.
#include "hv/svm/svm_vcpu.hpp"
#include "hv/core/decode/length_decoder.hpp"
#include "hv/svm/events.hpp"
#include "hv/svm/vmcb_setup.hpp"
#include "hv/svm/world_switch.hpp"

namespace hv::svm {
namespace {
namespace clean = arch::svm::clean;
namespace ic = arch::svm::interrupt_control;
constexpr u8 kOverflow = 4;
constexpr u32 kCsMask = 0x0fff'ffff; // as read(Seg::Cs): attributes have 12 bits

/// Tags 1, 2, … have an ASID of their own while there are enough. The last ASID is for all others: they flush
/// it whenever they are loaded.
constexpr bool has_own_asid(u16 tag, u32 asid_count) {
    return tag != 0 && u32{tag} + 1 < asid_count;
}
constexpr u32 choose_asid(u16 tag, u32 asid_count) {
    return has_own_asid(tag, asid_count) ? tag : asid_count - 1;
}
static_assert(choose_asid(1, 16) == 1 && choose_asid(14, 16) == 14 && choose_asid(15, 16) == 15);
static_assert(choose_asid(16, 16) == 15 && !has_own_asid(15, 16) && choose_asid(1, 2) == 1 &&
              !has_own_asid(1, 2));
} // namespace

SvmVcpu::SvmVcpu(SvmMachine const& machine, VcpuSetup const& setup, arch::Vmcb& vmcb, Hpa vmcb_at)
    : vmcb_{vmcb},
      vmcb_at_{vmcb_at.raw},
      nested_{static_cast<NptMap const*>(setup.nested)},
      machine_{machine} {
    u32 const count = machine.features.asid_count;
    asid_shared_ = !has_own_asid(setup.partition_tag, count);
    set_up_control(vmcb.control, machine.features, {machine.io_map, machine.msr_map, nested_->root()},
                   choose_asid(setup.partition_tag, count));
    reset();
}

void SvmVcpu::load() {
    SvmCpu const* const cpu = machine_.find(hv_svm_rdmsr(arch::svm::msr::kVmHsavePa));
    HV_ASSERT(cpu != nullptr);
    host_vmcb_at_ = cpu->host_vmcb.raw;
    hv_svm_save_host_state(host_vmcb_at_);
    pending_ &= ~u32{kUnloaded};
    set_tsc_aux(tsc_aux_);
    if (cpu != last_cpu_) {
        // This CPU has cached nothing of the VMCB, or something old; the same for translations of the ASID.
        vmcb_.control.clean = 0;
        pending_ |= kFlush;
        last_cpu_ = cpu;
    } else if (asid_shared_) {
        pending_ |= kFlush;
    }
    if ((pending_ & kPoints) != 0) {
        pending_ |= kLoadPoints; // another one may have loaded its own
    }
}

void SvmVcpu::unload() {
    pending_ |= kUnloaded; // nothing else: each world switch has stored everything
}

Exit const& SvmVcpu::run(u64) {
    if (ordinary_entry()) [[likely]] {
        if (world_switch() != 0) [[unlikely]] {
            report(ExitKind::HostEvent);
            return exit_;
        }
        if (decode_simple_exit(vmcb_, machine_.features, exit_)) [[likely]] {
            if (exit_.instruction_bytes == 0) {
                look_up_length();
            }
            return exit_; // an instruction's own exit: no delivery was under way
        }
        if (leave_guest()) {
            return exit_;
        }
    }
    return run_prepared();
}

/// The way in when something is pending. A step is asked for once an exit. Apart, for the short way's frame.
[[gnu::noinline]] Exit const& SvmVcpu::run_prepared() {
    enter_prepared();
    pending_ &= ~u32{kStep};
    return exit_;
}

/// Enters again and again until there is something to report.
void SvmVcpu::enter_prepared() {
    while (prepare_entry()) {
        if (prepared_world_switch() != 0) {
            undo_entry();
            report(ExitKind::HostEvent);
            return;
        }
        finish_entry();
        if (leave_guest()) {
            return;
        }
    }
}

inline bool SvmVcpu::ordinary_entry() const {
    u32 const shadow = static_cast<u32>(vmcb_.control.interrupt_state & arch::svm::kInterruptShadow);
    return (pending_ | shadow) == 0 && nested_->generation() == seen_generation_;
}

/// For a processor that does not save the next RIP: has this instruction exited before?
inline void SvmVcpu::look_up_length() {
    u32 cs; // selector and attributes, one beside the other as CodeAddress wants them
    static_assert(__builtin_offsetof(arch::VmcbSegment, attributes) == sizeof(u16));
    __builtin_memcpy(&cs, &vmcb_.state.cs, sizeof cs);
    if (lengths != nullptr) {
        exit_.instruction_bytes = lengths->cached({.rip = vmcb_.state.rip,
                                                   .cr3 = vmcb_.state.cr3,
                                                   .cs = cs & kCsMask,
                                                   .kind = exit_.kind,
                                                   .generation = nested_->generation()});
    }
}

inline u32 SvmVcpu::world_switch() {
    u32 const refused = hv_svm_world_switch(&gprs, &vmcb_, vmcb_at_, host_vmcb_at_, kicked);
    if (refused == 0) [[likely]] {
        vmcb_.control.clean = clean::kAll; // what is changed from now on takes its bit away
    }
    return refused;
}

u32 SvmVcpu::prepared_world_switch() {
    if ((pending_ & kPoints) == 0) {
        return world_switch();
    }
    u32 const refused = hv_svm_world_switch_armed(&gprs, &vmcb_, vmcb_at_, host_vmcb_at_, kicked, host_dr7_);
    if (refused == 0) {
        vmcb_.control.clean = clean::kAll;
    }
    return refused;
}

/// After #VMEXIT. @return whether exit_ is to be reported, else the guest goes on
bool SvmVcpu::leave_guest() {
    if (auto const again =
            interrupted_event(vmcb_.control.exit_interrupt_info, injected_valid_ ? &injected_ : nullptr)) {
        waiting_ = *again;
        pending_ |= kEvent;
    }
    injected_valid_ = false;
    bool const reported = handle(decode_exit(vmcb_, machine_.features, exit_));
    armed_ = Step::None;
    return reported;
}

// Everything that makes an entry more than loading registers. Returns false when there is nothing to enter.
bool SvmVcpu::prepare_entry() {
    HV_ASSERT((pending_ & kUnloaded) == 0);
    arch::VmcbControl& control = vmcb_.control;
    if (failed_) {
        return false; // exit_ still says EntryFailed
    }
    if ((pending_ & kShutdown) != 0) {
        pending_ &= ~u32{kShutdown};
        report(ExitKind::TripleFault);
        return false;
    }
    if ((pending_ & kDebugDue) != 0) {
        pending_ &= ~u32{kDebugDue};
        report_debug(due_causes_);
        return false;
    }
    if ((pending_ & kLoadPoints) != 0) {
        load_points();
    }
    injected_valid_ = (pending_ & kEvent) != 0;
    if (injected_valid_) {
        injected_ = waiting_;
        control.interrupt_state &= ~arch::svm::kInterruptShadow;
        if (waiting_.type == Event::Type::External) {
            deliver_as_virtual_irq(waiting_.vector);
        } else {
            Event event = waiting_;
            event.has_error_code &= (vmcb_.state.cr0 & cr0::kPe) != 0; // real mode has none
            control.event_injection = event_injection(event);
        }
    }
    entered_in_shadow_ = (control.interrupt_state & arch::svm::kInterruptShadow) != 0;
    entry_rip_ = vmcb_.state.rip;
    armed_ = Step::None;
    if (window_wanted_ && !virtual_irq_) {
        open_window();
    }
    if ((pending_ & kStateWritten) != 0) {
        written_state_ = vmcb_.state;
        written_state_.rax = gprs[Reg::Rax];
    }
    if ((pending_ & kStep) != 0) {
        armed_ = Step::Core;
    }
    if (armed_ != Step::None) {
        arm_step();
    }
    if (u64 const generation = nested_->generation(); generation != seen_generation_) {
        seen_generation_ = generation;
        pending_ |= kFlush;
    }
    if ((pending_ & kFlush) != 0) {
        control.tlb_control =
            static_cast<u32>(machine_.features.flush_by_asid ? arch::svm::TlbControl::FlushThisAsid
                                                             : arch::svm::TlbControl::FlushAll);
    }
    entry_pending_ = pending_;
    pending_ &= ~u32{kEvent | kFlush | kStateWritten | kWindow};
    if (window_wanted_ && virtual_irq_) {
        pending_ |= kWindow; // opened at the next entry: V_IRQ is taken
    }
    return true;
}

// An external interrupt goes in as a virtual one, not through EVENTINJ: software QEMU 7.2 delivers an
// EVENTINJ of type 0 a second time, whatever the guest's IF, when its instruction budget ends before anything
// else has raised an exception (helper_vmrun leaves cs->exception_index set, cpu_handle_interrupt returns to
// cpu_handle_exception). On silicon both ways are the same.
void SvmVcpu::deliver_as_virtual_irq(u8 number) {
    arch::VmcbControl& control = vmcb_.control;
    control.interrupt_control =
        ic::VirtualVector::set(control.interrupt_control, number) | ic::kVirtualIrq | ic::kPriority;
    control.intercept_instructions1 &= ~arch::svm::intercept1::kVintr;
    mark_dirty(clean::kInterruptControl | clean::kIntercepts);
    virtual_irq_ = true;
}

/// @return whether the processor took it
bool SvmVcpu::withdraw_virtual_irq() {
    arch::VmcbControl& control = vmcb_.control;
    bool const taken = (control.interrupt_control & ic::kVirtualIrq) == 0;
    control.interrupt_control &= ~(ic::kVirtualIrq | ic::kPriority | ic::VirtualVector::mask);
    control.intercept_instructions1 |= arch::svm::intercept1::kVintr;
    mark_dirty(clean::kInterruptControl | clean::kIntercepts);
    virtual_irq_ = false;
    return taken;
}

// V_IRQ with an intercept is the window. In an interrupt shadow it may not be used: one emulator drops the
// shadow at VMRUN and would open the window between STI and HLT, a lost wake-up. Coming back by a short timer
// would cost each such interrupt its latency, so one instruction is stepped, and the shadow is over.
void SvmVcpu::open_window() {
    arch::VmcbControl& control = vmcb_.control;
    if (entered_in_shadow_) {
        control.interrupt_control &= ~ic::kVirtualIrq;
        armed_ = Step::Window;
    } else {
        control.interrupt_control |= ic::kVirtualIrq;
    }
    mark_dirty(clean::kInterruptControl);
}

// The entry did not take place: what it was to do is still to be done.
void SvmVcpu::undo_entry() {
    vmcb_.control.event_injection = 0;
    if (virtual_irq_) {
        withdraw_virtual_irq();
    }
    injected_valid_ = false;
    if (armed_ != Step::None) {
        disarm_step();
        armed_ = Step::None;
    }
    pending_ |= entry_pending_;
}

void SvmVcpu::finish_entry() {
    arch::VmcbControl& control = vmcb_.control;
    control.tlb_control = static_cast<u32>(arch::svm::TlbControl::Nothing);
    control.event_injection = 0;
    if (virtual_irq_ && !withdraw_virtual_irq() &&
        arch::svm::event::Valid::get(control.exit_interrupt_info) == 0) {
        waiting_ = injected_; // the exit came first
        pending_ |= kEvent;
    }
    if (injected_valid_ && injected_.type == Event::Type::Nmi &&
        arch::svm::event::Valid::get(control.exit_interrupt_info) == 0) {
        nmi_ = Nmi::Blocked; // until the guest's IRET
        control.intercept_instructions1 |= arch::svm::intercept1::kIret;
        mark_dirty(clean::kIntercepts);
    }
    if (armed_ != Step::None) {
        disarm_step();
    }
    if (entered_in_shadow_ && vmcb_.state.rip == entry_rip_ && !ended_behind_instruction()) {
        control.interrupt_state |=
            arch::svm::kInterruptShadow; // nothing has run, and it may have been forgotten
    }
}

/// Deals with exits that are not simply the core's. @return whether exit_ is to be reported.
bool SvmVcpu::handle(ExitClass what) {
    if (what != ExitClass::Invalid) {
        last_was_invalid_ = false;
    }
    switch (what) {
    case ExitClass::HostEvent: return report(ExitKind::HostEvent);
    case ExitClass::VirtualIrq:
        pending_ |= kWindow; // until it is cancelled
        // An event whose delivery this exit interrupted comes first.
        return can_take_interrupt() && report(ExitKind::InterruptWindow);
    case ExitClass::Exception:
        return handle_exception(static_cast<u8>(vmcb_.control.exit_code - arch::svm::exit::kException));
    case ExitClass::FlagsInstruction: return handle_flags_instruction();
    case ExitClass::Invalid: return handle_invalid();
    case ExitClass::Report: break;
    }
    return true;
}

bool SvmVcpu::handle_exception(u8 number) {
    if (number == vector::kDebug) {
        return handle_debug();
    }
    bool const software = number == vector::kBreakpoint || number == kOverflow;
    if (software && armed_ != Step::None) {
        pending_ &= ~u32{kStep};
        return handle_flags_instruction(); // INT3, INTO: they run again, unstepped, and push clean flags
    }
    if (number == vector::kInvalidOpcode && armed_ == Step::Window) {
        return handle_flags_instruction(); // SYSCALL, SYSRET: arm_step() took them away
    }
    u32 const code = static_cast<u32>(vmcb_.control.exit_info1);
    bool const has_code = exception_has_error_code(number);
    if (number == vector::kMachineCheck || (wanted_exceptions_ >> number & 1) != 0) {
        u64 const address = number == vector::kPageFault ? vmcb_.control.exit_info2 : 0;
        exit_.exception = {number, has_code, has_code ? code : 0, address};
        return report(ExitKind::Exception);
    }
    if (number == vector::kPageFault) {
        vmcb_.state.cr2 = vmcb_.control.exit_info2; // an intercepted page fault leaves it alone
        mark_dirty(clean::kCr2);
    }
    inject({Event::Type::Exception, number, has_code, has_code ? code : 0});
    // #AC may be raised again by its own delivery (CVE-2015-5307): the core looks at the clock first.
    return report(armed_ == Step::Core ? ExitKind::SingleStep : ExitKind::HostEvent);
}

/// PUSHF, POPF, IRET, INT n and the like while we hide a trap flag, or IRET at the end of an NMI.
bool SvmVcpu::handle_flags_instruction() {
    arch::VmcbControl& control = vmcb_.control;
    if (control.exit_code == arch::svm::exit::kIret && nmi_ == Nmi::Blocked) {
        nmi_ = Nmi::Returning;
        nmi_return_rip_ = vmcb_.state.rip;
        control.intercept_instructions1 &= ~arch::svm::intercept1::kIret;
        mark_dirty(clean::kIntercepts);
    }
    if (armed_ == Step::Window) {
        // The shadow protects STI;HLT and MOV SS;MOV SP. None of these instructions needs it.
        control.interrupt_state &= ~arch::svm::kInterruptShadow;
    }
    return false;
}

/// Exit code -1. VMRUN refuses a state that makes no sense, which is the partition's end. One emulator says
/// the same when the running guest loads a reserved bit into CR3, where a processor raises #GP: the state is
/// then the guest's own, not the host's, and #GP is what it gets; but not twice in a row.
bool SvmVcpu::handle_invalid() {
    bool const refused = last_was_invalid_ || vmcb_.state.cr3 == hv_svm_read_cr3();
    if (!refused) {
        last_was_invalid_ = true;
        inject({Event::Type::Exception, vector::kGeneralProtection, true, 0});
        return armed_ == Step::Core && report(ExitKind::SingleStep);
    }
    exit_.unknown = {vmcb_.control.exit_code, vmcb_.control.exit_info1};
    vmcb_.state = written_state_; // the emulator has stored the host's state there: nobody may see that
    gprs[Reg::Rax] = written_state_.rax;
    failed_ = true;
    pending_ |= kStateWritten; // the next run() must notice
    return report(ExitKind::EntryFailed);
}

bool SvmVcpu::report(ExitKind kind) {
    exit_.kind = kind;
    exit_.instruction_bytes = 0;
    return true;
}
} // namespace hv::svm
