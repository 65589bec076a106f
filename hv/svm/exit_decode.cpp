// SPDX-License-Identifier: Apache-2.0
#include "hv/svm/exit_decode.hpp"

namespace hv::svm {
namespace {
namespace x = arch::svm::exit;

void decode_io(arch::Vmcb const& vmcb, Exit& exit) {
    namespace io = arch::svm::io_info;
    u64 const info = vmcb.control.exit_info1;
    exit.kind = ExitKind::Io;
    exit.instruction_bytes = length_between(vmcb.state.rip, vmcb.control.exit_info2);
    exit.io = {.port = static_cast<u16>(io::Port::get(info)),
               .size_bytes = static_cast<u8>(io::SizeBytes::get(info)),
               .in = io::In::get(info) != 0,
               .string = io::String::get(info) != 0,
               .repeat = io::Repeat::get(info) != 0};
}

void decode_nested_fault(arch::Vmcb const& vmcb, Exit& exit) {
    namespace n = arch::svm::npf_info;
    u64 const info = vmcb.control.exit_info1;
    exit.instruction_bytes = 0;
    if (n::Reserved::get(info) != 0) { // a malformed entry: ours, not the guest's
        exit.kind = ExitKind::Unknown;
        exit.unknown = {x::kNestedPageFault, info};
        return;
    }
    Access const access = n::Fetch::get(info) != 0   ? Access::X
                          : n::Write::get(info) != 0 ? Access::W
                                                     : Access::R;
    exit.kind = ExitKind::NestedFault;
    exit.fault = {.gpa = Gpa{vmcb.control.exit_info2},
                  .access = access,
                  .present = n::Present::get(info) != 0,
                  .during_walk = n::TableWalk::get(info) != 0,
                  .during_delivery = arch::svm::event::Valid::get(vmcb.control.exit_interrupt_info) != 0};
}

void decode_control_register(arch::Vmcb const& vmcb, SvmFeatures const& features, u64 code, Exit& exit) {
    namespace m = arch::svm::mov_info;
    bool const selective = code == x::kCr0SelectiveWrite;
    bool const write = selective || code >= x::kCrWrite;
    u64 const info = vmcb.control.exit_info1;
    exit.kind = ExitKind::ControlRegister;
    exit.control = {.decoded = features.decode_assists &&
                               m::IsMov::get(info) != 0, // CLTS, LMSW, SMSW: look at the bytes
                    .control = static_cast<u8>(selective ? 0 : code & 0xf),
                    .kind = write ? ControlRegisterExit::Kind::MovTo : ControlRegisterExit::Kind::MovFrom,
                    .gpr = static_cast<u8>(m::Gpr::get(info)),
                    .lmsw_source = 0};
}

void decode_debug_register(arch::Vmcb const& vmcb, SvmFeatures const& features, u64 code, Exit& exit) {
    exit.kind = ExitKind::DebugRegister;
    exit.debug = {.decoded = features.decode_assists,
                  .number = static_cast<u8>(code & 0xf),
                  .write = code >= x::kDrWrite,
                  .gpr = static_cast<u8>(arch::svm::mov_info::Gpr::get(vmcb.control.exit_info1))};
}

ExitClass decode_other(arch::Vmcb const& vmcb, SvmFeatures const& features, u64 code, Exit& exit) {
    if (code < x::kDrRead || code == x::kCr0SelectiveWrite) {
        decode_control_register(vmcb, features, code, exit);
        return ExitClass::Report;
    }
    if (code < x::kException) {
        decode_debug_register(vmcb, features, code, exit);
        return ExitClass::Report;
    }
    if (code < x::kIntr) {
        return ExitClass::Exception;
    }
    exit.kind = ExitKind::HostEvent;
    switch (code) {
    case x::kIntr:
    case x::kNmi:
    case x::kSmi:
    case x::kInit: return ExitClass::HostEvent;
    case x::kVintr: return ExitClass::VirtualIrq;
    case x::kPushf:
    case x::kPopf:
    case x::kIret:
    case x::kSoftwareInt: return ExitClass::FlagsInstruction;
    case x::kIcebp:
        exit.kind = ExitKind::Exception;
        exit.exception = {vector::kDebug, false, 0, 0};
        if (exit.instruction_bytes == 0) {
            exit.instruction_bytes = 1; // nobody puts a prefix before INT1
        }
        return ExitClass::Report;
    case x::kShutdown: exit.kind = ExitKind::TripleFault; return ExitClass::Report;
    default: break;
    }
    if (x::is_invalid(code)) {
        return ExitClass::Invalid;
    }
    exit.kind = ExitKind::Unknown;
    exit.unknown = {code, vmcb.control.exit_info1};
    return ExitClass::Report;
}
} // namespace

ExitClass decode_exit(arch::Vmcb const& vmcb, SvmFeatures const& features, Exit& exit) {
    if (decode_simple_exit(vmcb, features, exit)) {
        return ExitClass::Report;
    }
    u64 const code = vmcb.control.exit_code;
    if (code == x::kNestedPageFault) {
        decode_nested_fault(vmcb, exit);
        return ExitClass::Report;
    }
    if (code == x::kIo) {
        decode_io(vmcb, exit);
        return ExitClass::Report;
    }
    exit.instruction_bytes =
        features.next_rip_save ? length_between(vmcb.state.rip, vmcb.control.next_rip) : u8{0};
    if (code == x::kMsr) {
        exit.kind = (vmcb.control.exit_info1 & 1) != 0 ? ExitKind::MsrWrite : ExitKind::MsrRead;
        return ExitClass::Report;
    }
    return decode_other(vmcb, features, code, exit);
}
} // namespace hv::svm
