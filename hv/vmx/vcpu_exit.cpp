// SPDX-License-Identifier: Apache-2.0
// After an exit: what the backend finishes itself, and what it tells the core.
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/vmx/exit_decode.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
namespace {
namespace f = arch::vmcs;
using arch::vmx::ExitReason;
namespace interruption = arch::vmx::interruption;
namespace blocking = arch::vmx::interruptibility;
} // namespace

/// Deals with every exit but CPUID.
/// @return whether exit_ is for the caller; false: done here, enter again
bool VmxVcpu::finish_exit(u32 reason) {
    switch (static_cast<ExitReason>(reason)) {
    case ExitReason::EptViolation: finish_nested_fault(); return true;
    case ExitReason::ExceptionOrNmi: return finish_exception();
    case ExitReason::ExternalInterrupt:
    case ExitReason::PreemptionTimer:
        timer_uses_ = 1;
        note_fault_like_exit();
        break;
    case ExitReason::Hlt: timer_uses_ = 1; break;
    case ExitReason::ControlRegister: return finish_control_register();
    case ExitReason::MonitorTrapFlag: return finish_monitor_trap();
    case ExitReason::EptMisconfiguration:
    case ExitReason::TaskSwitch: recall_interrupted_delivery(); break;
    default: break;
    }
    if (arch::vmx::reason::EntryFailure::get(reason) != 0) [[unlikely]] {
        exit_.kind = ExitKind::EntryFailed;
        exit_.instruction_bytes = 0;
        exit_.unknown = {reason, vmcs_.read(f::exit_qualification)};
        return true;
    }
    decode_exit(reason, vmcs_, exit_);
    if (exit_.kind == ExitKind::Unknown && reason == static_cast<u32>(ExitReason::EptMisconfiguration)) {
        exit_.unknown.info = vmcs_.read(f::guest_physical_address).raw;
    }
    return true;
}

/// If the exit came in the middle of delivering an event through the guest's IDT: deliver it again. @return
/// whether it did
inline bool VmxVcpu::recall_interrupted_delivery() {
    u32 const information = vmcs_.read_known(f::idt_vectoring_information);
    bool const interrupted = interruption::Valid::get(information) != 0;
    if (interrupted) [[unlikely]] {
        deliver_again(information);
    }
    return interrupted;
}

void VmxVcpu::deliver_again(u32 information) {
    pending_ = from_idt_vectoring(information, vmcs_.read(f::idt_vectoring_error_code),
                                  vmcs_.read(f::vm_exit_instruction_length));
    work_ |= kEvent;
    if (pending_.type() == interruption::kNmi) {
        set_shadow(shadow() & ~static_cast<u32>(blocking::BlockingByNmi::mask)); // injecting it blocks again
    }
}

/// The instruction at RIP has not run: under TF no #DB is due yet.
inline void VmxVcpu::note_fault_like_exit() {
    if ((vmcs_.read_known(f::guest_rflags) & rflags::kTrap) != 0) [[unlikely]] {
        work_ |= kTrapFlag;
    }
}

/// EPT violation. Whoever answers it may fill a large page: the clock is read before the next entry.
void VmxVcpu::finish_nested_fault() {
    timer_uses_ = 1;
    u64 const qualification = vmcs_.read(f::exit_qualification);
    exit_.kind = ExitKind::NestedFault;
    exit_.instruction_bytes = 0;
    decode_ept_violation(qualification, vmcs_.read_known(f::guest_physical_address), exit_.fault);
    exit_.fault.during_delivery = recall_interrupted_delivery();
    note_fault_like_exit();
    bool const in_iret = arch::vmx::ept_violation::NmiUnblockingByIret::get(qualification) != 0;
    if (in_iret && !pending_.valid()) [[unlikely]] {
        set_shadow(shadow() | static_cast<u32>(blocking::BlockingByNmi::mask));
    }
}

bool VmxVcpu::finish_exception() {
    timer_uses_ = 1;
    u32 const information = vmcs_.read(f::vm_exit_interruption_information);
    recall_interrupted_delivery();
    exit_.instruction_bytes = 0;
    if (interruption::Type::get(information) == interruption::kNmi) {
        note_fault_like_exit();
        arch::call_nmi_handler();
        exit_.kind = ExitKind::HostEvent;
        return true;
    }
    auto const number = static_cast<u8>(interruption::Vector::get(information));
    if (interruption::NmiUnblockingByIret::get(information) != 0 && number != vector::kDoubleFault &&
        !pending_.valid()) {
        set_shadow(shadow() | static_cast<u32>(blocking::BlockingByNmi::mask));
    }
    note_fault_like_exit();
    u64 const type = interruption::Type::get(information);
    if (number == vector::kDebug) {
        return finish_debug_exception(type);
    }
    bool const has_error = interruption::HasErrorCode::get(information) != 0;
    u32 const error = has_error ? vmcs_.read(f::vm_exit_interruption_error_code) : 0;
    u64 const address = number == vector::kPageFault ? vmcs_.read(f::exit_qualification) : 0;
    if (is_software(type)) {
        exit_.instruction_bytes = static_cast<u8>(vmcs_.read(f::vm_exit_instruction_length));
    }
    exit_.kind = ExitKind::Exception;
    exit_.exception = {number, has_error, error, address};
    if (number == vector::kMachineCheck || ((exceptions_ >> (number & 31)) & 1) != 0) {
        return true;
    }
    // #AC, handed back, which its own delivery may raise again (CVE-2015-5307): the core looks at the clock
    // first. Or the stepped instruction raised it, and the core sees it waiting.
    if (number == vector::kPageFault) {
        arch::write_cr2(address); // the exit has come before the processor would have
    }
    inject({Event::Type::Exception, number, has_error, error});
    exit_.kind = step_wanted_ ? ExitKind::SingleStep : ExitKind::HostEvent;
    exit_.instruction_bytes = 0;
    return true;
}

/// #DB is never delivered here: the core knows whose it is. An exit in its place changes neither DR6 nor
/// DR7.GD (SDM vol 3C, "Architectural State Before a VM Exit"), and the processor's are nobody's.
bool VmxVcpu::finish_debug_exception(u64 type) {
    using namespace arch::vmx::debug_exit;
    if (type == interruption::kPrivilegedSoftwareException) { // INT1 leaves no cause in DR6
        return report_debug(0, static_cast<u8>(vmcs_.read(f::vm_exit_instruction_length)));
    }
    u64 const causes = vmcs_.read(f::exit_qualification);
    return step_by_trap_flag_ ? finish_trap_flag_step(causes) : report_debug(causes, 0);
}

/// @param causes DR6 bits as in an exit qualification or the pending debug exceptions; others are dropped
/// @return true: exit_ is for the caller
bool VmxVcpu::report_debug(u64 causes, u8 instruction_bytes) {
    using namespace arch::vmx::debug_exit;
    exit_.kind = ExitKind::Exception;
    exit_.instruction_bytes = instruction_bytes;
    exit_.exception = {vector::kDebug, false, 0,
                       causes & (Breakpoints::mask | GeneralDetect::mask | SingleStep::mask)};
    return true;
}

/// MOV to CR0 or CR4 that only changes bits the hardware keeps to itself is finished here: the read shadow
/// takes them and the instruction runs again. The rest is for the core.
bool VmxVcpu::finish_control_register() {
    decode_exit(static_cast<u32>(ExitReason::ControlRegister), vmcs_, exit_);
    ControlRegisterExit const& access = exit_.control;
    bool const mov_to = access.kind == ControlRegisterExit::Kind::MovTo;
    if (!mov_to || (access.control != 0 && access.control != 4)) {
        return true;
    }
    auto const source = static_cast<Reg>(access.gpr);
    u64 value = source == Reg::Rsp ? rsp() : gprs[source];
    if (!in_64bit_code()) {
        value &= 0xffff'ffff;
    }
    bool const is_cr0 = access.control == 0;
    u64 const view = read(is_cr0 ? ControlReg::Cr0 : ControlReg::Cr4);
    if (is_cr0 ? !cr0_needs_shadow_only(view, value) : !cr4_needs_shadow_only(view, value)) {
        return true;
    }
    vmcs_.write(is_cr0 ? f::cr0_read_shadow : f::cr4_read_shadow, value);
    note_fault_like_exit();
    return false;
}

} // namespace hv::vmx
