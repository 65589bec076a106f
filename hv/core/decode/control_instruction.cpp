// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/control_instruction.hpp"
#include "hv/core/decode/memory_bus.hpp"
#include "hv/core/decode/operand.hpp"

namespace hv::decode {
namespace {
using Kind = ControlInstruction::Kind;

/// MOV between a general and a control or debug register.
bool decode_mov(Decoded const& d, ControlInstruction& out) {
    for (unsigned special = 0; special < 2; ++special) {
        ZydisDecodedOperand const& a = d.operands[special];
        ZydisDecodedOperand const& b = d.operands[1 - special];
        RegisterOperand general;
        if (a.type != ZYDIS_OPERAND_TYPE_REGISTER || b.type != ZYDIS_OPERAND_TYPE_REGISTER ||
            !general_register(b.reg.value, general)) {
            continue;
        }
        ZydisRegisterClass const what = ZydisRegisterGetClass(a.reg.value);
        if (what != ZYDIS_REGCLASS_CONTROL && what != ZYDIS_REGCLASS_DEBUG) {
            continue;
        }
        bool const to = special == 0;
        out.kind = what == ZYDIS_REGCLASS_CONTROL ? (to ? Kind::MovToControl : Kind::MovFromControl)
                                                  : (to ? Kind::MovToDebug : Kind::MovFromDebug);
        out.number = static_cast<u8>(ZydisRegisterGetId(a.reg.value));
        out.gpr = general.reg;
        out.operand_bytes = general.size_bytes;
        return true;
    }
    return false;
}
} // namespace

Result<ControlInstruction, EmulationFailure> decode_control(CpuView& cpu, GuestAccess& memory) {
    Code const code = HV_TRY(fetch_code(cpu, memory));
    Decoded d;
    HV_TRY(decode_full(code, d));
    ControlInstruction out{.kind = Kind::Clts};
    out.length = d.instruction.length;
    ZydisDecodedOperand const& first = d.operands[0];
    RegisterOperand general;
    switch (d.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        if (decode_mov(d, out)) {
            return out;
        }
        return Err{EmulationFailure::unsupported()};
    case ZYDIS_MNEMONIC_CLTS: return out;
    case ZYDIS_MNEMONIC_LMSW: {
        out.kind = Kind::Lmsw;
        if (first.type == ZYDIS_OPERAND_TYPE_REGISTER && general_register(first.reg.value, general)) {
            out.gpr = general.reg;
            out.lmsw_source = static_cast<u16>(cpu.read(general.reg));
            return out;
        }
        LinearOperand const at = HV_TRY(memory_operand(cpu, code.mode, d.instruction, first, Access::R));
        MemoryBus bus{cpu, memory, nullptr};
        Place const place = HV_TRY(bus.locate(at.linear, 2, Access::R, at.stack));
        out.lmsw_source = static_cast<u16>(HV_TRY(bus.read(place)));
        return out;
    }
    case ZYDIS_MNEMONIC_SMSW: {
        out.kind = Kind::Smsw;
        if (first.type == ZYDIS_OPERAND_TYPE_REGISTER && general_register(first.reg.value, general)) {
            out.gpr = general.reg;
            out.operand_bytes = general.size_bytes;
            return out;
        }
        LinearOperand const at = HV_TRY(memory_operand(cpu, code.mode, d.instruction, first, Access::W));
        out.to_memory = true;
        out.linear = at.linear;
        out.operand_bytes = 2;
        return out;
    }
    default: return Err{EmulationFailure::unsupported()};
    }
}

Result<void, EmulationFailure> finish_smsw(CpuView& cpu, GuestAccess& memory, ControlInstruction const& i,
                                           u64 cr0) {
    if (!i.to_memory) {
        write_register(cpu, {i.gpr, i.operand_bytes, false}, cr0);
        return {};
    }
    MemoryBus bus{cpu, memory, nullptr};
    Place const place = HV_TRY(bus.locate(i.linear, 2, Access::W, false));
    return bus.write(place, cr0 & 0xffff);
}

void finish_move_from(CpuView& cpu, ControlInstruction const& i, u64 value) {
    write_register(cpu, {i.gpr, i.operand_bytes, false}, value);
}
} // namespace hv::decode
