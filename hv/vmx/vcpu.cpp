// SPDX-License-Identifier: Apache-2.0
// Entry and exit. run() is the path that every exit takes: what is not needed each time is behind work_.
#include "hv/vmx/vcpu.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/base/log.hpp"
#include "hv/core/event_merge.hpp"
#include "hv/vmx/exit_decode.hpp"

namespace hv::vmx {
namespace {
namespace f = arch::vmcs;
using arch::vmx::ExitReason;
namespace interruption = arch::vmx::interruption;
namespace blocking = arch::vmx::interruptibility;
constexpr u8 kAlignmentCheck = 17;
/// Machine checks are the host's. A guest can make the CPU raise #DB and #AC for ever inside their own
/// delivery, where no interrupt or timer gets through.
constexpr u32 kAlwaysIntercepted =
    (1u << vector::kDebug) | (1u << kAlignmentCheck) | (1u << vector::kMachineCheck);
} // namespace

Exit const& VmxVcpu::run(u64 deadline_tsc) {
    if (deadline_tsc != timer_deadline_ || --timer_uses_ == 0) [[unlikely]] {
        set_timer(deadline_tsc);
    }
    if (work_ != kRip || nested_->generation() != flushed_generation_) [[unlikely]] {
        return run_with_work();
    }
    vmcs_.write(f::guest_rip, rip_);
    work_ = 0;
    valid_ = 0;
    u32 const reason = hv_vmx_resume(gprs.value, &host_rsp_);
    if (reason != static_cast<u32>(ExitReason::Cpuid)) {
        return finish_run(reason);
    }
    exit_.kind = ExitKind::Cpuid;
    exit_.instruction_bytes = static_cast<u8>(vmcs_.read_known(f::vm_exit_instruction_length));
    return exit_;
}

/// run() when there is more to do than to write RIP, or less: after a nested fault the instruction runs
/// again.
Exit const& VmxVcpu::run_with_work() {
    if (work_ == 0 && nested_->generation() == flushed_generation_) {
        valid_ = 0;
        return finish_run(hv_vmx_resume(gprs.value, &host_rsp_));
    }
    if (debug_due_ != 0) {
        return report_due_debug();
    }
    if (!prepare_entry()) {
        return shut_down();
    }
    return finish_run(enter());
}

u32 VmxVcpu::enter() {
    bool const launch = (work_ & kLaunch) != 0;
    work_ = 0;
    valid_ = 0;
    if (!launch) {
        return hv_vmx_resume(gprs.value, &host_rsp_);
    }
    u32 const reason = hv_vmx_launch(gprs.value, &host_rsp_);
    if (arch::vmx::reason::EntryFailure::get(reason) != 0) { // all of kKicked and kVmFail… have it set
        work_ = kLaunch;
    }
    return reason;
}

Exit const& VmxVcpu::finish_run(u32 reason) {
    if (reason == static_cast<u32>(ExitReason::EptViolation) && !step_wanted_) [[likely]] {
        finish_nested_fault(); // first touches are counted in instructions as well
        return exit_;
    }
    return finish_run_slowly(reason);
}

/// From the exit with @p reason to one that the caller must see.
Exit const& VmxVcpu::finish_run_slowly(u32 reason) {
    for (;;) {
        if (reason >= kKicked) {
            return reason == kKicked ? turned_back() : entry_refused(reason);
        }
        if (step_wanted_ ? finish_step(reason) : finish_exit(reason)) {
            return exit_;
        }
        if (--timer_uses_ == 0) {
            set_timer(timer_deadline_);
        }
        if (!prepare_entry()) {
            return shut_down();
        }
        reason = enter();
    }
}

/// Three faults in a row before the guest could even run.
Exit const& VmxVcpu::shut_down() {
    exit_.kind = ExitKind::TripleFault;
    exit_.instruction_bytes = 0;
    return exit_;
}

/// Loads the preemption timer with the time left until @p deadline_tsc. It keeps counting over exits, but
/// only while the guest runs: so it is set anew after exits that may have taken long, and after a few of the
/// others.
void VmxVcpu::set_timer(u64 deadline_tsc) {
    constexpr u32 kUses = 16;
    timer_uses_ = kUses;
    timer_deadline_ = deadline_tsc;
    if (!backend_.controls().has_timer) {
        return;
    }
    constexpr u32 kLongest = ~0u;
    u64 ticks = kLongest;
    if (deadline_tsc != ~0ull) {
        u64 const now = arch::rdtsc();
        ticks = deadline_tsc > now ? (deadline_tsc - now) >> backend_.controls().timer_shift : 0;
    }
    // Firing early at the longest value costs one needless HostEvent every 2^32 ticks.
    vmcs_.write(f::vmx_preemption_timer_value, ticks < kLongest ? static_cast<u32>(ticks) : kLongest);
}

/// Does what work_ asks for, but for kLaunch, which is enter()'s.
/// @return false when the guest must not be entered: its faults piled up to a shutdown.
bool VmxVcpu::prepare_entry() {
    if ((work_ & kTripleFault) != 0) {
        work_ &= ~static_cast<u32>(kTripleFault);
        return false;
    }
    if (nested_->generation() != flushed_generation_) {
        work_ |= kFlushNested;
    }
    if (step_wanted_) {
        begin_step();
    }
    if ((work_ & kRip) != 0) {
        vmcs_.write(f::guest_rip, rip_);
    }
    if (pending_.valid()) {
        write_pending_event();
    }
    if ((work_ & (kTrapFlag | kEvent)) != 0) {
        settle_pending_debug();
    }
    if ((work_ & kRsp) != 0) {
        vmcs_.write(f::guest_rsp, rsp_);
    }
    if ((work_ & kRflags) != 0) {
        vmcs_.write(f::guest_rflags, rflags_);
    }
    if ((work_ & kShadow) != 0) {
        vmcs_.write(f::guest_interruptibility_state, shadow_);
    }
    if ((work_ & kLoadPdptes) != 0) {
        load_pdptes();
    }
    if ((work_ & kControls) != 0) {
        vmcs_.write(f::primary_controls, primary_);
    }
    if ((work_ & kExceptions) != 0) {
        vmcs_.write(f::exception_bitmap, exceptions_ | step_exceptions_ | kAlwaysIntercepted);
    }
    if ((work_ & (kFlushNested | kFlushLinear)) != 0) {
        flush_translations();
    }
    return true;
}

void VmxVcpu::write_pending_event() {
    bool const protected_mode = (vmcs_.read(f::guest_cr0) & cr0::kPe) != 0;
    PendingEvent const event = for_mode(pending_, protected_mode);
    vmcs_.write(f::vm_entry_interruption_information, event.information);
    if (interruption::HasErrorCode::get(event.information) != 0) {
        vmcs_.write(f::vm_entry_exception_error_code, event.error_code);
    }
    if (is_software(event.type())) {
        vmcs_.write(f::vm_entry_instruction_length, event.instruction_bytes);
    }
    // Faults save RFLAGS with RF set, so that the restarted instruction does not hit its breakpoint again.
    u8 const number = static_cast<u8>(interruption::Vector::get(event.information));
    if (event.type() == interruption::kHardwareException && number != vector::kDebug) {
        set_rflags(rflags() | rflags::kResume);
    }
    // Delivery ends an interrupt shadow, and VM entry refuses most events with one.
    if ((shadow() & kShadowBits) != 0) {
        set_shadow(shadow() & ~kShadowBits);
    }
    pending_ = {}; // the VMCS has it now; an exit during its delivery brings it back
}

/// Makes the single-step bit of the pending debug exceptions what it must be: set when VM entry wants it (TF
/// in an interrupt shadow); clear otherwise, because an emulator saves it at every exit under TF, and what is
/// really due was reported. Source: SDM vol 3C, "Checks on Guest Non-Register State".
void VmxVcpu::settle_pending_debug() {
    u64 const before = vmcs_.read(f::guest_pending_debug_exceptions);
    bool const due = (rflags() & rflags::kTrap) != 0 && (shadow() & kShadowBits) != 0;
    u64 const after = arch::vmx::debug_exit::SingleStep::set(before, due ? 1 : 0);
    if (after != before) {
        vmcs_.write(f::guest_pending_debug_exceptions, after);
    }
}

/// The #DB of an instruction that was completed for the guest, or stepped, under the guest's TF: it comes
/// before interrupts and before the next instruction, so it is reported without entering.
Exit const& VmxVcpu::report_due_debug() {
    report_debug(debug_due_, 0);
    debug_due_ = 0;
    step_wanted_ = false;
    return exit_;
}

void VmxVcpu::flush_translations() {
    Controls const& c = backend_.controls();
    bool ok = true;
    if ((work_ & kFlushNested) != 0) {
        // INVEPT drops combined translations as well; those of no EPT context do not exist for a guest.
        flushed_generation_ = nested_->generation();
        ok = arch::invept(c.invept_single ? arch::Invept::SingleContext : arch::Invept::AllContexts, eptp_);
    }
    if ((work_ & kFlushLinear) != 0 && vpid_ != 0) {
        ok &= arch::invvpid(c.invvpid_single ? arch::Invvpid::SingleContext : arch::Invvpid::AllContexts,
                            vpid_);
    }
    HV_ASSERT(ok);
}

/// With EPT, VM entry takes the PAE directory pointers from the VMCS. They are wrong after a control register
/// was written for the guest. A directory that is not in backed memory leaves them as they were.
void VmxVcpu::load_pdptes() {
    bool const pae = (vmcs_.read(f::guest_cr0) & cr0::kPg) != 0 &&
                     (vmcs_.read(f::guest_cr4) & cr4::kPae) != 0 &&
                     (vmcs_.read(f::guest_ia32_efer) & efer::kLma) == 0;
    if (!pae) {
        return;
    }
    constexpr u64 kDirectoryMask = 0xffff'ffe0;
    Gpa const directory{vmcs_.read(f::guest_cr3) & kDirectoryMask};
    auto const leaf = nested_->lookup(directory.page());
    if (!leaf.ok()) {
        return;
    }
    auto const* entries =
        static_cast<u64 const*>(frames_.pointer(leaf.value().hpa + (directory - leaf.value().gpa)));
    constexpr arch::VmcsField<u64> kFields[] = {f::guest_pdpte0, f::guest_pdpte1, f::guest_pdpte2,
                                                f::guest_pdpte3};
    constexpr u64 kReserved = 0x1e6; // bits 2:1 and 8:5: VM entry refuses them in a present entry
    for (usize i = 0; i < 4; ++i) {
        u64 const entry = __atomic_load_n(&entries[i], __ATOMIC_RELAXED);
        vmcs_.write(kFields[i], (entry & 1) != 0 ? entry & ~kReserved : 0);
    }
}

/// VMLAUNCH or VMRESUME failed outright: our controls or our host state, or a field the guest's owner set.
Exit const& VmxVcpu::entry_refused(u32 failure) {
    constexpr u64 kVmFail = 1ull << 32; // apart from exit reasons
    u64 const number = failure == kVmFailValid ? vmcs_.read(f::vm_instruction_error) : 0;
    exit_.kind = ExitKind::EntryFailed;
    exit_.instruction_bytes = 0;
    exit_.unknown = {kVmFail | number, 0};
    cancel_step();
    return exit_;
}

/// Somebody has kicked this CPU since the core looked: nothing has run. What the entry was to deliver waits
/// again, so that the core sees it and may put something in its place.
Exit const& VmxVcpu::turned_back() {
    u32 const information = vmcs_.read(f::vm_entry_interruption_information);
    if (interruption::Valid::get(information) != 0) {
        pending_ = {information, vmcs_.read(f::vm_entry_exception_error_code),
                    vmcs_.read(f::vm_entry_instruction_length)};
        vmcs_.write(f::vm_entry_interruption_information, 0);
        work_ |= kEvent;
    }
    cancel_step();
    timer_uses_ = 1;
    exit_.kind = ExitKind::HostEvent;
    exit_.instruction_bytes = 0;
    return exit_;
}

void VmxVcpu::advance(u8 instruction_bytes) {
    if (valid_ != 0) [[unlikely]] {
        advance_cached(instruction_bytes);
        return;
    }
    // The usual case: nobody has asked for a register since the exit, so nothing is cached.
    u64 const before = vmcs_.read(f::guest_rip);
    u64 const flags = vmcs_.read_known(f::guest_rflags);
    u32 const blocked = vmcs_.read_known(f::guest_interruptibility_state);
    u64 const after = before + instruction_bytes;
    bool const special = (flags & (rflags::kTrap | rflags::kResume)) != 0 || (blocked & kShadowBits) != 0 ||
                         ((before ^ after) >> 32) != 0;
    if (special) [[unlikely]] {
        advance_cached(instruction_bytes);
        return;
    }
    set_rip(after);
}

void VmxVcpu::advance_cached(u8 instruction_bytes) {
    u64 const before = rip();
    u64 after = before + instruction_bytes;
    if (((before ^ after) >> 32) != 0 && !in_64bit_code()) {
        after &= 0xffff'ffff; // EIP wraps
    }
    set_rip(after);
    if ((rflags() & (rflags::kTrap | rflags::kResume)) != 0) {
        if ((rflags_ & rflags::kTrap) != 0) {
            debug_due_ |= arch::vmx::debug_exit::SingleStep::mask;
            work_ |= kTrapFlag;
        }
        if ((rflags_ & rflags::kResume) != 0) {
            set_rflags(rflags_ & ~rflags::kResume);
        }
    }
    if ((shadow() & kShadowBits) != 0) {
        set_shadow(shadow_ & ~kShadowBits);
    }
}

void VmxVcpu::inject(Event const& event) {
    if (pending_.valid()) {
        HV_ASSERT(event.type == Event::Type::Exception);
        MergedEvent const merged = merge_exception(decode(pending_), event);
        pending_ = merged.triple_fault ? PendingEvent{} : encode(merged.event);
        work_ |= merged.triple_fault ? kTripleFault : kEvent;
        return;
    }
    // INT3, INTO and INT1 as the exit reported them: the handler returns behind them.
    bool const own = exit_.kind == ExitKind::Exception && exit_.exception.vector == event.vector;
    pending_ = encode(event, own ? exit_.instruction_bytes : u8{0});
    work_ |= kEvent;
}

std::optional<Event> VmxVcpu::waiting_event() {
    return pending_.valid() ? std::optional{describe(pending_)} : std::nullopt;
}

bool VmxVcpu::can_take_interrupt() {
    // The #DB of a finished single step goes first.
    return !pending_.valid() && debug_due_ == 0 && (rflags() & rflags::kInterrupt) != 0 &&
           (shadow() & kShadowBits) == 0;
}

bool VmxVcpu::can_take_nmi() {
    // VM entry may refuse an NMI after STI too, so both shadows count.
    return !pending_.valid() && debug_due_ == 0 &&
           (shadow() & (kShadowBits | blocking::BlockingByNmi::mask)) == 0;
}

void VmxVcpu::request_interrupt_window(bool wanted) {
    switch_interrupt_window(wanted);
}

} // namespace hv::vmx
