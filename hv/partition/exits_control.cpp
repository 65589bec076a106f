// SPDX-License-Identifier: Apache-2.0
// MOV to and from control and debug registers, CLTS, LMSW, SMSW. Some hardware reports what was wanted, other
// only that it was one of them: then the instruction is decoded.
#include "hv/core/decode/control_instruction.hpp"
#include "hv/partition/guest.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::partition {
namespace {
using decode::ControlInstruction;
using Kind = ControlInstruction::Kind;

constexpr u64 kLmswBits = 0xf; // PE, MP, EM, TS; PE can be set but not cleared
constexpr u64 kTaskPriority = 0xf;
constexpr u64 kCr4De = 1u << 3;
constexpr u64 kDr6Fixed = 0xffff'0ff0, kDr6Writable = 0xe00f, kDr7Fixed = 0x400, kDr7Writable = 0xffff'2bff;
constexpr u64 kDr6GeneralDetect = 1u << 13, kDr7GeneralDetect = 1u << 13;
constexpr u64 kDr7NotArmed = kDr7GeneralDetect | 0x300; // LE, GE

ControlInstruction from_exit(ControlRegisterExit const& c, u8 operand_bytes, u8 length) {
    ControlInstruction i{.kind = Kind::Clts,
                         .number = c.control,
                         .gpr = static_cast<Reg>(c.gpr),
                         .operand_bytes = operand_bytes,
                         .length = length};
    switch (c.kind) {
    case ControlRegisterExit::Kind::MovTo: i.kind = Kind::MovToControl; break;
    case ControlRegisterExit::Kind::MovFrom: i.kind = Kind::MovFromControl; break;
    case ControlRegisterExit::Kind::Clts: break;
    case ControlRegisterExit::Kind::Lmsw:
        i.kind = Kind::Lmsw;
        i.lmsw_source = c.lmsw_source;
        break;
    }
    return i;
}
} // namespace

void VirtualProcessor::on_control_register(Exit const& exit) {
    VcpuView view{hw_};
    ControlInstruction i;
    if (exit.control.decoded) {
        i = from_exit(exit.control, code_mode(view).code_bits == 64 ? 8 : 4, exit.instruction_bytes);
    } else {
        auto const decoded = decode::decode_control(view, guest_.memory());
        if (!decoded) {
            fail(decoded.error());
            return;
        }
        i = decoded.value();
    }
    if (hw_.cpl() != 0 && i.kind != Kind::Smsw) {
        raise_gp();
        return;
    }
    u64 const cr0_now = hw_.read(ControlReg::Cr0);
    bool allowed = true;
    switch (i.kind) {
    case Kind::MovToControl: {
        u64 const value = hw_.read(i.gpr);
        allowed = write_control(i.number, i.operand_bytes == 8 ? value : value & 0xffff'ffff);
        break;
    }
    case Kind::MovFromControl: decode::finish_move_from(view, i, read_control(i.number)); break;
    case Kind::Clts: allowed = write_control(0, cr0_now & ~cr0::kTs); break;
    case Kind::Lmsw:
        allowed = write_control(0, (cr0_now & ~(kLmswBits & ~cr0::kPe)) | (i.lmsw_source & kLmswBits));
        break;
    case Kind::Smsw:
        if (auto const stored = decode::finish_smsw(view, guest_.memory(), i, cr0_now); !stored) {
            fail(stored.error());
            return;
        }
        break;
    case Kind::MovToDebug:
    case Kind::MovFromDebug: allowed = false; break;
    }
    if (!allowed) {
        ++counters_.refused_writes;
        raise_gp();
        return;
    }
    hw_.advance(i.length);
}

u64 VirtualProcessor::read_control(u8 number) {
    switch (number) {
    case 0: return hw_.read(ControlReg::Cr0);
    case 2: return hw_.read(ControlReg::Cr2);
    case 3: return hw_.read(ControlReg::Cr3);
    case 4: return hw_.read(ControlReg::Cr4);
    default: return apic_.cr8();
    }
}

bool VirtualProcessor::write_control(u8 number, u64 value) {
    ControlState const state = control_state();
    switch (number) {
    case 0:
        if (!cr0_write_allowed(state, value)) {
            return false;
        }
        hw_.write(ControlReg::Cr0, value | cr0::kEt);
        return true;
    case 2: hw_.write(ControlReg::Cr2, value); return true;
    case 3: // bit 63 asks to keep translations, and is not kept itself
        value &= ~(1ull << 63);
        if (value >> cpuid_.physical_bits() != 0) {
            return false;
        }
        hw_.write(ControlReg::Cr3, value);
        return true;
    case 4:
        if (!cr4_write_allowed(state, value, cpuid_.allowed_cr4())) {
            return false;
        }
        hw_.write(ControlReg::Cr4, value);
        cpuid_.set_osxsave((value & cr4::kOsxsave) != 0);
        return true;
    case 8:
        if ((value & ~kTaskPriority) != 0) {
            return false;
        }
        apic_.set_cr8(value);
        attention_ = true;
        return true;
    default: return false;
    }
}

void VirtualProcessor::on_debug_register(Exit const& exit) {
    VcpuView view{hw_};
    ControlInstruction i;
    if (exit.debug.decoded) {
        i = {.kind = exit.debug.write ? Kind::MovToDebug : Kind::MovFromDebug,
             .number = exit.debug.number,
             .gpr = static_cast<Reg>(exit.debug.gpr),
             .operand_bytes = static_cast<u8>(code_mode(view).code_bits == 64 ? 8 : 4),
             .length = exit.instruction_bytes};
    } else {
        auto const decoded = decode::decode_control(view, guest_.memory());
        if (!decoded) {
            fail(decoded.error());
            return;
        }
        i = decoded.value();
    }
    if (i.number == 4 || i.number == 5) {
        if ((hw_.read(ControlReg::Cr4) & kCr4De) !=
            0) { // with debugging extensions the aliases of DR6 and DR7 are gone
            raise_exception(vector::kInvalidOpcode);
            return;
        }
        i.number += 2;
    }
    if (hw_.cpl() != 0) {
        raise_gp();
        return;
    }
    if ((debug_registers_.dr7 & kDr7GeneralDetect) != 0) {
        raise_debug(kDr6GeneralDetect);
        return;
    }
    if (i.kind == Kind::MovFromDebug) {
        u64 const value = i.number < 4    ? debug_registers_.address[i.number]
                          : i.number == 6 ? dr6_
                                          : debug_registers_.dr7;
        decode::finish_move_from(view, i, value);
    } else if (!write_debug(i.number, hw_.read(i.gpr))) {
        raise_gp();
        return;
    }
    hw_.advance(i.length);
}

bool VirtualProcessor::write_debug(u8 number, u64 value) {
    if (number >= 4 && (value >> 32) != 0) {
        return false;
    }
    if (number == 6) {
        dr6_ = (value & kDr6Writable) | kDr6Fixed;
        return true;
    }
    if (number < 4) {
        debug_registers_.address[number] = value;
    } else {
        debug_registers_.dr7 = (value & kDr7Writable) | kDr7Fixed;
    }
    if (debug_registers_changed_ != nullptr) {
        debug_registers_changed_(debug_registers_context_);
        return true;
    }
    HardwareBreakpoints armed = debug_registers_;
    armed.dr7 &= ~kDr7NotArmed;
    hw_.arm_breakpoints(armed);
    return true;
}
} // namespace hv::partition
