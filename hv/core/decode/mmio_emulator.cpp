// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/mmio_emulator.hpp"
#include "hv/core/decode/string_loop.hpp"

namespace hv::decode {
namespace {
using Outcome = Result<void, EmulationFailure>;

/// The execution of one instruction: operands are fetched, the result is computed, and only then anything
/// is written, the memory operand first because only it can still fail.
class Executor {
  public:
    Executor(CpuView& cpu, GuestAccess& memory, MmioTarget& devices, CodeMode mode)
        : cpu_{cpu}, bus_{cpu, memory, &devices}, mode_{mode} {}
    Decoded decoded;

    Result<Emulated, EmulationFailure> run();

  private:
    ZydisDecodedOperand const& operand(unsigned i) const { return decoded.operands[i]; }
    u8 bytes(unsigned i) const { return static_cast<u8>(operand(i).size / 8); }
    bool is_memory(unsigned i) const { return operand(i).type == ZYDIS_OPERAND_TYPE_MEMORY; }

    Result<Place, EmulationFailure> locate(unsigned i, Access access, u64 extra_offset = 0);
    Result<u64, EmulationFailure> load(unsigned i);
    Outcome store(unsigned i, u64 value);

    Outcome move(bool sign);
    Outcome modify(AluOp op, bool keeps_result);
    Outcome bit_operation(AluOp op);
    Outcome exchange();
    Outcome exchange_add();
    Outcome compare_exchange();
    Outcome push();
    Result<Emulated, EmulationFailure> string();

    CpuView& cpu_;
    MemoryBus bus_;
    CodeMode mode_;
};

Result<Place, EmulationFailure> Executor::locate(unsigned i, Access access, u64 extra_offset) {
    LinearOperand const at =
        HV_TRY(memory_operand(cpu_, mode_, decoded.instruction, operand(i), access, extra_offset));
    if (at.size_bytes == 0 || at.size_bytes > 8) {
        return Err{EmulationFailure::unsupported()};
    }
    return bus_.locate(at.linear, at.size_bytes, access, at.stack);
}

Result<u64, EmulationFailure> Executor::load(unsigned i) {
    ZydisDecodedOperand const& o = operand(i);
    switch (o.type) {
    case ZYDIS_OPERAND_TYPE_MEMORY: {
        Place const place = HV_TRY(locate(i, Access::R));
        return bus_.read(place);
    }
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: return o.imm.value.u;
    case ZYDIS_OPERAND_TYPE_REGISTER: {
        RegisterOperand r;
        if (general_register(o.reg.value, r)) {
            return read_register(cpu_, r);
        }
        Seg which;
        if (segment_register(o.reg.value, which)) {
            return u64{cpu_.read(which).selector};
        }
        break;
    }
    default: break;
    }
    return Err{EmulationFailure::unsupported()};
}

Outcome Executor::store(unsigned i, u64 value) {
    if (is_memory(i)) {
        Place const place = HV_TRY(locate(i, Access::W));
        return bus_.write(place, value);
    }
    RegisterOperand r;
    if (operand(i).type != ZYDIS_OPERAND_TYPE_REGISTER || !general_register(operand(i).reg.value, r)) {
        return Err{EmulationFailure::unsupported()};
    }
    write_register(cpu_, r, value);
    return {};
}

Outcome Executor::move(bool sign) {
    u64 const value = HV_TRY(load(1));
    return store(0, sign ? sign_extend(value, bytes(1)) : value);
}

Outcome Executor::modify(AluOp op, bool keeps_result) {
    bool const unary = op == AluOp::Inc || op == AluOp::Dec || op == AluOp::Neg || op == AluOp::Not;
    u64 const right = unary ? 0 : HV_TRY(load(1));
    u64 const before = cpu_.read(Reg::Rflags);
    if (is_memory(0) && keeps_result) {
        Place const place = HV_TRY(locate(0, Access::W)); // once, with the right to write
        u64 const left = HV_TRY(bus_.read(place));
        AluResult const result = alu(op, bytes(0), left, right, before);
        HV_TRY(bus_.write(place, result.value));
        cpu_.write(Reg::Rflags, result.rflags);
        return {};
    }
    u64 const left = HV_TRY(load(0));
    AluResult const result = alu(op, bytes(0), left, right, before);
    if (keeps_result) {
        HV_TRY(store(0, result.value));
    }
    cpu_.write(Reg::Rflags, result.rflags);
    return {};
}

/// A bit number in a register reaches beyond the operand: it indexes a bit string in memory.
Outcome Executor::bit_operation(AluOp op) {
    u8 const size = bytes(0);
    u64 const number = HV_TRY(load(1));
    u64 extra = 0;
    if (operand(1).type == ZYDIS_OPERAND_TYPE_REGISTER) {
        s64 const index = static_cast<s64>(sign_extend(number, bytes(1)));
        extra = static_cast<u64>((index >> (size == 2 ? 4 : size == 4 ? 5 : 6)) * size);
    }
    Place const place = HV_TRY(locate(0, op == AluOp::BitTest ? Access::R : Access::W, extra));
    u64 const left = HV_TRY(bus_.read(place));
    AluResult const result = alu(op, size, left, number % (8u * size), cpu_.read(Reg::Rflags));
    if (op != AluOp::BitTest) {
        HV_TRY(bus_.write(place, result.value));
    }
    cpu_.write(Reg::Rflags, result.rflags);
    return {};
}

Outcome Executor::exchange() {
    unsigned const memory = is_memory(0) ? 0 : 1;
    u64 const value = HV_TRY(load(1 - memory));
    Place const place = HV_TRY(locate(memory, Access::W));
    u64 const old = HV_TRY(bus_.read(place));
    HV_TRY(bus_.write(place, value));
    return store(1 - memory, old);
}

Outcome Executor::exchange_add() {
    u64 const addend = HV_TRY(load(1));
    Place const place = HV_TRY(locate(0, Access::W));
    u64 const old = HV_TRY(bus_.read(place));
    AluResult const sum = alu(AluOp::Add, bytes(0), old, addend, cpu_.read(Reg::Rflags));
    HV_TRY(bus_.write(place, sum.value));
    HV_TRY(store(1, old));
    cpu_.write(Reg::Rflags, sum.rflags);
    return {};
}

/// Writes in either case, as the processor does (SDM vol 2A, CMPXCHG: "the destination operand is written
/// back").
Outcome Executor::compare_exchange() {
    RegisterOperand const accumulator{Reg::Rax, bytes(0), false};
    u64 const expected = read_register(cpu_, accumulator);
    u64 const replacement = HV_TRY(load(1));
    Place const place = HV_TRY(locate(0, Access::W));
    u64 const old = HV_TRY(bus_.read(place));
    AluResult const compared = alu(AluOp::Sub, bytes(0), expected, old, cpu_.read(Reg::Rflags));
    bool const equal = (compared.rflags & rflags::kZero) != 0;
    HV_TRY(bus_.write(place, equal ? replacement : old));
    if (!equal) {
        write_register(cpu_, accumulator, old);
    }
    cpu_.write(Reg::Rflags, compared.rflags);
    return {};
}

Outcome Executor::push() {
    if (!is_memory(0)) {
        return Err{EmulationFailure::unsupported()};
    }
    u64 const value = HV_TRY(load(0));
    u8 const size = bytes(0);
    RegisterOperand const pointer{Reg::Rsp, static_cast<u8>(mode_.stack_bits / 8), false};
    u64 const top = (read_register(cpu_, pointer) - size) & size_mask(pointer.size_bytes);
    LinearOperand const at = HV_TRY(in_segment(cpu_, mode_, Seg::Ss, top, size, Access::W));
    Place const place = HV_TRY(bus_.locate(at.linear, size, Access::W, true));
    HV_TRY(bus_.write(place, value));
    write_register(cpu_, pointer, top);
    return {};
}

Result<Emulated, EmulationFailure> Executor::string() {
    u8 size = 1;
    bool from = false, to = false;
    switch (decoded.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_MOVSQ: size = 8, from = to = true; break;
    case ZYDIS_MNEMONIC_MOVSD: size = 4, from = to = true; break;
    case ZYDIS_MNEMONIC_MOVSW: size = 2, from = to = true; break;
    case ZYDIS_MNEMONIC_MOVSB: from = to = true; break;
    case ZYDIS_MNEMONIC_STOSQ: size = 8, to = true; break;
    case ZYDIS_MNEMONIC_STOSD: size = 4, to = true; break;
    case ZYDIS_MNEMONIC_STOSW: size = 2, to = true; break;
    case ZYDIS_MNEMONIC_STOSB: to = true; break;
    case ZYDIS_MNEMONIC_LODSQ: size = 8, from = true; break;
    case ZYDIS_MNEMONIC_LODSD: size = 4, from = true; break;
    case ZYDIS_MNEMONIC_LODSW: size = 2, from = true; break;
    case ZYDIS_MNEMONIC_LODSB: from = true; break;
    default: return Err{EmulationFailure::unsupported()};
    }
    // MOVSD is also the name of an SSE instruction.
    if (decoded.instruction.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) {
        return Err{EmulationFailure::unsupported()};
    }
    StringLoop loop{cpu_, mode_, decoded, size};
    from ? loop.uses_source() : void();
    to ? loop.uses_destination() : void();
    RegisterOperand const accumulator{Reg::Rax, size, false};
    return loop.run([&]() -> Outcome {
        u64 value = read_register(cpu_, accumulator);
        Place target;
        if (to) {
            LinearOperand const at = HV_TRY(loop.destination());
            target = HV_TRY(bus_.locate(at.linear, size, Access::W, at.stack));
        }
        if (from) {
            LinearOperand const at = HV_TRY(loop.source());
            Place const place = HV_TRY(bus_.locate(at.linear, size, Access::R, at.stack));
            value = HV_TRY(bus_.read(place));
        }
        if (to) {
            return bus_.write(target, value);
        }
        write_register(cpu_, accumulator, value);
        return {};
    });
}

Result<Emulated, EmulationFailure> Executor::run() {
    auto const done = [&](Outcome const& outcome) -> Result<Emulated, EmulationFailure> {
        if (!outcome.ok()) {
            return Err{outcome.error()};
        }
        return Emulated{decoded.instruction.length, 1};
    };
    switch (decoded.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVNTI:
    case ZYDIS_MNEMONIC_MOVZX: return done(move(false));
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD: return done(move(true));
    case ZYDIS_MNEMONIC_ADD: return done(modify(AluOp::Add, true));
    case ZYDIS_MNEMONIC_OR: return done(modify(AluOp::Or, true));
    case ZYDIS_MNEMONIC_ADC: return done(modify(AluOp::Adc, true));
    case ZYDIS_MNEMONIC_SBB: return done(modify(AluOp::Sbb, true));
    case ZYDIS_MNEMONIC_AND: return done(modify(AluOp::And, true));
    case ZYDIS_MNEMONIC_SUB: return done(modify(AluOp::Sub, true));
    case ZYDIS_MNEMONIC_XOR: return done(modify(AluOp::Xor, true));
    case ZYDIS_MNEMONIC_CMP: return done(modify(AluOp::Sub, false));
    case ZYDIS_MNEMONIC_TEST: return done(modify(AluOp::And, false));
    case ZYDIS_MNEMONIC_INC: return done(modify(AluOp::Inc, true));
    case ZYDIS_MNEMONIC_DEC: return done(modify(AluOp::Dec, true));
    case ZYDIS_MNEMONIC_NEG: return done(modify(AluOp::Neg, true));
    case ZYDIS_MNEMONIC_NOT: return done(modify(AluOp::Not, true));
    case ZYDIS_MNEMONIC_BT: return done(bit_operation(AluOp::BitTest));
    case ZYDIS_MNEMONIC_BTS: return done(bit_operation(AluOp::BitSet));
    case ZYDIS_MNEMONIC_BTR: return done(bit_operation(AluOp::BitReset));
    case ZYDIS_MNEMONIC_BTC: return done(bit_operation(AluOp::BitComplement));
    case ZYDIS_MNEMONIC_XCHG: return done(exchange());
    case ZYDIS_MNEMONIC_XADD: return done(exchange_add());
    case ZYDIS_MNEMONIC_CMPXCHG: return done(compare_exchange());
    case ZYDIS_MNEMONIC_PUSH: return done(push());
    default: return string();
    }
}
} // namespace

Result<Emulated, EmulationFailure> emulate_mmio(CpuView& cpu, GuestAccess& memory, MmioTarget& devices) {
    Code const code = HV_TRY(fetch_code(cpu, memory));
    Executor executor{cpu, memory, devices, code.mode};
    HV_TRY(decode_full(code, executor.decoded));
    // An instruction without a memory operand cannot have touched a device: the code changed under us.
    bool touches_memory = false;
    for (unsigned i = 0; i < executor.decoded.instruction.operand_count; ++i) {
        touches_memory |= executor.decoded.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
    }
    if (!touches_memory) {
        return Emulated{};
    }
    return executor.run();
}
} // namespace hv::decode
