// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/operand.hpp"

namespace hv::decode {
bool general_register(ZydisRegister r, RegisterOperand& out) {
    ZyanI8 const id = ZydisRegisterGetId(r);
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
        // Zydis's order: AL CL DL BL, AH CH DH BH, SPL BPL SIL DIL, R8B … R15B.
        out = {static_cast<Reg>(id < 8 ? id % 4 : id - 4), 1, id >= 4 && id < 8};
        return true;
    case ZYDIS_REGCLASS_GPR16: out = {static_cast<Reg>(id), 2, false}; return true;
    case ZYDIS_REGCLASS_GPR32: out = {static_cast<Reg>(id), 4, false}; return true;
    case ZYDIS_REGCLASS_GPR64: out = {static_cast<Reg>(id), 8, false}; return true;
    default: return false;
    }
}

bool segment_register(ZydisRegister r, Seg& out) {
    switch (r) {
    case ZYDIS_REGISTER_ES: out = Seg::Es; return true;
    case ZYDIS_REGISTER_CS: out = Seg::Cs; return true;
    case ZYDIS_REGISTER_SS: out = Seg::Ss; return true;
    case ZYDIS_REGISTER_DS: out = Seg::Ds; return true;
    case ZYDIS_REGISTER_FS: out = Seg::Fs; return true;
    case ZYDIS_REGISTER_GS: out = Seg::Gs; return true;
    default: return false;
    }
}

u64 read_register(CpuView& cpu, RegisterOperand const& r) {
    return (cpu.read(r.reg) >> (r.high_byte ? 8 : 0)) & size_mask(r.size_bytes);
}

void write_register(CpuView& cpu, RegisterOperand const& r, u64 value) {
    if (r.size_bytes >= 4) {
        cpu.write(r.reg, value & size_mask(r.size_bytes));
        return;
    }
    unsigned const shift = r.high_byte ? 8 : 0;
    u64 const mask = size_mask(r.size_bytes) << shift;
    cpu.write(r.reg, (cpu.read(r.reg) & ~mask) | (value << shift & mask));
}

namespace {
bool permitted(Segment const& s, Access access) {
    if ((s.attributes & segment::kPresent) == 0) {
        return false; // unusable
    }
    bool const code = (s.attributes & segment::kTypeCode) != 0;
    bool const read_or_write = (s.attributes & 2) != 0; // code: readable, data: writable
    return access == Access::W ? !code && read_or_write : !code || read_or_write;
}

bool within_limit(Segment const& s, u64 offset, u8 size_bytes) {
    u64 const last = offset + size_bytes - 1;
    bool const data = (s.attributes & segment::kTypeCode) == 0;
    if (data && (s.attributes & segment::kTypeExpandDown) != 0) {
        u64 const top = (s.attributes & segment::kDefaultBig) != 0 ? 0xffff'ffff : 0xffff;
        return offset > s.limit && last <= top;
    }
    return last <= s.limit;
}
} // namespace

Result<LinearOperand, EmulationFailure> in_segment(CpuView& cpu, CodeMode mode, Seg which, u64 offset,
                                                   u8 size_bytes, Access access) {
    bool const stack = which == Seg::Ss;
    if (mode.code_bits == 64) {
        u64 const base = which == Seg::Fs || which == Seg::Gs ? cpu.read(which).base : 0;
        return LinearOperand{base + offset, size_bytes, stack}; // the walk checks canonical form
    }
    Segment const s = cpu.read(which);
    offset &= 0xffff'ffff;
    if ((!mode.real && !permitted(s, access)) || !within_limit(s, offset, size_bytes)) {
        return Err{EmulationFailure::of(stack ? GuestFault::stack() : GuestFault::general_protection())};
    }
    return LinearOperand{(s.base + offset) & 0xffff'ffff, size_bytes, stack};
}

u64 effective_offset(CpuView& cpu, ZydisDecodedInstruction const& instruction,
                     ZydisDecodedOperand const& operand) {
    auto const value = [&](ZydisRegister r) -> u64 {
        if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) {
            return cpu.read(Reg::Rip) + instruction.length;
        }
        RegisterOperand reg;
        return general_register(r, reg) ? read_register(cpu, reg) : 0;
    };
    u64 offset = operand.mem.disp.has_displacement ? static_cast<u64>(operand.mem.disp.value) : 0;
    if (operand.mem.base != ZYDIS_REGISTER_NONE) {
        offset += value(operand.mem.base);
    }
    if (operand.mem.index != ZYDIS_REGISTER_NONE) {
        offset += value(operand.mem.index) * operand.mem.scale;
    }
    return offset & size_mask(static_cast<u8>(instruction.address_width / 8));
}

Result<LinearOperand, EmulationFailure> memory_operand(CpuView& cpu, CodeMode mode,
                                                       ZydisDecodedInstruction const& instruction,
                                                       ZydisDecodedOperand const& operand, Access access,
                                                       u64 extra_offset) {
    Seg which = Seg::Ds;
    segment_register(operand.mem.segment, which);
    u64 const offset = (effective_offset(cpu, instruction, operand) + extra_offset) &
                       size_mask(static_cast<u8>(instruction.address_width / 8));
    return in_segment(cpu, mode, which, offset, static_cast<u8>(operand.size / 8), access);
}
} // namespace hv::decode
