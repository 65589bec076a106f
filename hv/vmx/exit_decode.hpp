// SPDX-License-Identifier: Apache-2.0
// From VMX's exit fields to the neutral Exit. Pure over its reader: the VMCS on the machine, a struct in
// tests; each field is read at most once and only where the reason needs it.
#pragma once
#include "hv/arch/vmcs.hpp"
#include "hv/arch/vmx.hpp"
#include "hv/core/exit.hpp"
#include <concepts>

namespace hv::vmx {
template <class F>
concept ExitFields = requires(F const& f) {
    { f.read(arch::vmcs::exit_qualification) } -> std::same_as<u64>;
    { f.read(arch::vmcs::vm_exit_instruction_length) } -> std::same_as<u32>;
    { f.read(arch::vmcs::guest_physical_address) } -> std::same_as<Gpa>;
};

constexpr IoExit decode_io(u64 qualification) {
    using namespace arch::vmx::io_access;
    return {static_cast<u16>(Port::get(qualification)), static_cast<u8>(SizeMinus1::get(qualification) + 1),
            In::get(qualification) != 0, String::get(qualification) != 0, Rep::get(qualification) != 0};
}

constexpr ControlRegisterExit decode_control_register(u64 qualification) {
    using namespace arch::vmx::cr_access;
    return {true, static_cast<u8>(Number::get(qualification)),
            static_cast<ControlRegisterExit::Kind>(Type::get(qualification)),
            static_cast<u8>(Gpr::get(qualification)), static_cast<u16>(LmswSource::get(qualification))};
}
static_assert(static_cast<u8>(ControlRegisterExit::Kind::Lmsw) == 3);

constexpr DebugRegisterExit decode_debug_register(u64 qualification) {
    using namespace arch::vmx::dr_access;
    return {true, static_cast<u8>(Number::get(qualification)), FromDr::get(qualification) == 0,
            static_cast<u8>(Gpr::get(qualification))};
}

/// By qualification bits 2:0, which are fetch, write, read. A walk may report read and write together
/// (accessed and dirty flags): it is the write that needs the right.
inline constexpr Access kTriedAccess[8] = {Access::R, Access::R, Access::W, Access::W,
                                           Access::X, Access::X, Access::W, Access::W};
static_assert(arch::vmx::ept_violation::Write::mask == 2 && arch::vmx::ept_violation::Fetch::mask == 4);

constexpr void decode_ept_violation(u64 qualification, Gpa gpa, NestedFaultExit& fault) {
    using namespace arch::vmx::ept_violation;
    constexpr u64 kWalk = LinearValid::mask; // with FinalAddress: the access itself
    fault.gpa = gpa;
    fault.access = kTriedAccess[qualification & 7];
    fault.present = (qualification & Permissions::mask) != 0;
    fault.during_walk = (qualification & (LinearValid::mask | FinalAddress::mask)) == kWalk;
}

/// Fills @p exit for an exit (not a failed entry) with basic reason @p reason. Exceptions, NMIs and what else
/// the backend deals with itself are not for this function; they come out as Unknown.
template <ExitFields F>
inline void decode_exit(u32 reason, F const& fields, Exit& exit) {
    using arch::vmx::ExitReason;
    namespace vmcs = arch::vmcs;
    auto const instruction = [&](ExitKind kind) {
        exit.kind = kind;
        exit.instruction_bytes = static_cast<u8>(fields.read(vmcs::vm_exit_instruction_length));
    };
    auto const event = [&](ExitKind kind) {
        exit.kind = kind;
        exit.instruction_bytes = 0;
    };
    switch (static_cast<ExitReason>(reason)) {
    case ExitReason::Cpuid: instruction(ExitKind::Cpuid); break;
    case ExitReason::Vmcall: instruction(ExitKind::Hypercall); break;
    case ExitReason::Rdmsr: instruction(ExitKind::MsrRead); break;
    case ExitReason::Wrmsr: instruction(ExitKind::MsrWrite); break;
    case ExitReason::Hlt: instruction(ExitKind::Halt); break;
    case ExitReason::Xsetbv: instruction(ExitKind::Xsetbv); break;
    case ExitReason::Invd:
    case ExitReason::Wbinvd: instruction(ExitKind::CacheControl); break;
    case ExitReason::Io:
        instruction(ExitKind::Io);
        exit.io = decode_io(fields.read(vmcs::exit_qualification));
        break;
    case ExitReason::ControlRegister:
        instruction(ExitKind::ControlRegister);
        exit.control = decode_control_register(fields.read(vmcs::exit_qualification));
        break;
    case ExitReason::MovDr:
        instruction(ExitKind::DebugRegister);
        exit.debug = decode_debug_register(fields.read(vmcs::exit_qualification));
        break;
    case ExitReason::EptViolation:
        event(ExitKind::NestedFault);
        decode_ept_violation(fields.read(vmcs::exit_qualification), fields.read(vmcs::guest_physical_address),
                             exit.fault);
        break;
    case ExitReason::InterruptWindow: event(ExitKind::InterruptWindow); break;
    case ExitReason::TripleFault: event(ExitKind::TripleFault); break;
    case ExitReason::ExternalInterrupt:
    case ExitReason::PreemptionTimer: event(ExitKind::HostEvent); break;
    case ExitReason::MonitorTrapFlag: event(ExitKind::SingleStep); break;
    case ExitReason::Getsec:
    case ExitReason::Rdpmc:
    case ExitReason::Vmclear:
    case ExitReason::Vmlaunch:
    case ExitReason::Vmptrld:
    case ExitReason::Vmptrst:
    case ExitReason::Vmread:
    case ExitReason::Vmresume:
    case ExitReason::Vmwrite:
    case ExitReason::Vmxoff:
    case ExitReason::Vmxon:
    case ExitReason::Mwait:
    case ExitReason::Monitor:
    case ExitReason::Invept:
    case ExitReason::Invvpid:
    case ExitReason::Vmfunc:
    case ExitReason::Encls:
    case ExitReason::Pconfig:
    case ExitReason::Umwait:
    case ExitReason::Tpause:
    case ExitReason::Loadiwkey: instruction(ExitKind::InvalidOpcode); break;
    default:
        event(ExitKind::Unknown);
        exit.unknown = {reason, fields.read(vmcs::exit_qualification)};
        break;
    }
}
} // namespace hv::vmx
