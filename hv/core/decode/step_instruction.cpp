// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/step_instruction.hpp"
#include "hv/core/decode/operand.hpp"

namespace hv::decode {
namespace {
using Kind = StepInstruction::Kind;

/// The opcode behind the prefixes: enough to tell that an instruction cannot be one of ours.
struct Opcode {
    u16 value = 0; ///< 0x0fxx for the two-byte map
    bool repeat = false;
    u8 next = 0; ///< the byte behind it: ModRM, if there is one
};

/// SDM vol 2, "Instruction Prefixes".
constexpr bool is_prefix(u8 byte, bool long_mode) {
    switch (byte) {
    case 0x26: // ES, CS, SS, DS, FS, GS
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66: // operand size, address size
    case 0x67:
    case 0xf0: // LOCK, REPNE, REP
    case 0xf2:
    case 0xf3: return true;
    default: return long_mode && (byte & 0xf0) == 0x40; // REX
    }
}

Opcode opcode(Code const& code) {
    Opcode out;
    unsigned at = 0;
    auto const byte = [&]() -> u8 { return at < code.count ? code.bytes[at++] : u8{0}; };
    u8 current = byte();
    while (is_prefix(current, code.mode.code_bits == 64) && at < code.count) {
        out.repeat |= current == 0xf2 || current == 0xf3;
        current = byte();
    }
    out.value = current;
    if (current == 0x0f) {
        out.value = static_cast<u16>(0x0f00 | byte());
    }
    out.next = byte();
    return out;
}

/// What the opcode would be in a valid instruction. SDM vol 2, "Opcode Map".
constexpr Kind kind_of(Opcode const& opcode) {
    constexpr u8 kStackSegment = 2;
    switch (opcode.value) {
    case 0x17: return Kind::PopStackSegment;
    case 0x8e: return (opcode.next >> 3 & 7) == kStackSegment ? Kind::MovToStackSegment : Kind::Ordinary;
    case 0x9c: return Kind::PushFlags;
    case 0x9d: return Kind::PopFlags;
    case 0xcc:
    case 0xcd:
    case 0xce: return Kind::SoftwareInterrupt;
    case 0xcf: return Kind::InterruptReturn;
    case 0xfb: return Kind::SetInterrupts;
    case 0x0f05: return Kind::Syscall;
    case 0x0f07: return Kind::Sysret;
    case 0x0f34: return Kind::Sysenter;
    case 0x0f35: return Kind::Sysexit;
    case 0x6c: // INS, OUTS
    case 0x6d:
    case 0x6e:
    case 0x6f:
    case 0xa4: // MOVS, CMPS
    case 0xa5:
    case 0xa6:
    case 0xa7:
    case 0xaa: // STOS, LODS, SCAS
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xae:
    case 0xaf: return opcode.repeat ? Kind::RepeatedString : Kind::Ordinary;
    default: return Kind::Ordinary;
    }
}

/// The bytes behind at most one REX prefix that may be, or lead to, one of ours.
struct LookCloser {
    u64 words[4] = {};
    constexpr LookCloser() {
        for (unsigned byte = 0; byte < 256; ++byte) {
            bool const plain =
                !is_prefix(static_cast<u8>(byte), true) && byte != 0x0f &&
                kind_of({.value = static_cast<u16>(byte), .next = kSsInModRm}) == Kind::Ordinary;
            words[byte / 64] |= u64{!plain} << byte % 64;
        }
    }
    constexpr bool has(u8 byte) const { return (words[byte / 64] >> byte % 64 & 1) != 0; }
    static constexpr bool has_0f(u8 byte) { return (byte & 0xfd) == 0x05 || (byte & 0xfe) == 0x34; }
    static constexpr u8 kSsInModRm = 2 << 3;
};
constexpr LookCloser kLookCloser;

void found_in_memory(LinearOperand const& at, StepInstruction& out) {
    out.from_memory = true;
    out.stack_operand = at.stack;
    out.linear = at.linear;
}

/// POP's selector is on top of the stack. @return false where the instruction will fault
bool pop_source(CpuView& cpu, CodeMode mode, StepInstruction& out) {
    RegisterOperand const sp{Reg::Rsp, static_cast<u8>(mode.stack_bits / 8), false};
    auto const at = in_segment(cpu, mode, Seg::Ss, read_register(cpu, sp), out.operand_bytes, Access::R);
    if (at.ok()) {
        found_in_memory(at.value(), out);
    }
    return at.ok();
}

/// MOV's selector. @return false where the instruction will fault
bool move_source(CpuView& cpu, Code const& code, Decoded const& decoded, StepInstruction& out) {
    ZydisDecodedOperand const& operand = decoded.operands[1];
    RegisterOperand general;
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && general_register(operand.reg.value, general)) {
        out.from = general.reg;
        return true;
    }
    if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) {
        return false;
    }
    auto const at = memory_operand(cpu, code.mode, decoded.instruction, operand, Access::R);
    if (at.ok()) {
        found_in_memory(at.value(), out);
    }
    return at.ok();
}

/// @return false: it does not go anywhere
bool software_interrupt(CpuView& cpu, Opcode const& opcode, StepInstruction& out) {
    constexpr u8 kInt3 = 0xcc, kIntN = 0xcd, kOverflow = 4;
    constexpr u64 kOverflowFlag = 1u << 11;
    out.int_n = opcode.value == kIntN;
    out.vector = out.int_n ? opcode.next : opcode.value == kInt3 ? vector::kBreakpoint : kOverflow;
    return out.vector != kOverflow || out.int_n || (cpu.read(Reg::Rflags) & kOverflowFlag) != 0;
}

/// What the kinds need besides their operand size. @return false where nothing special will happen
bool fill_in(CpuView& cpu, Code const& code, Opcode const& opcode, Decoded const& decoded,
             StepInstruction& out) {
    switch (out.kind) {
    case Kind::SoftwareInterrupt: return software_interrupt(cpu, opcode, out);
    case Kind::MovToStackSegment: return move_source(cpu, code, decoded, out);
    case Kind::PopStackSegment: return pop_source(cpu, code.mode, out);
    default: return true;
    }
}
} // namespace

bool looks_ordinary(u8 const* bytes) {
    u8 const first = bytes[0];
    if ((first & 0xf0) != 0x40) {
        return first == 0x0f ? !kLookCloser.has_0f(bytes[1]) : !kLookCloser.has(first);
    }
    return bytes[1] == 0x0f ? !kLookCloser.has_0f(bytes[2]) : !kLookCloser.has(bytes[1]);
}

StepInstruction step_instruction(CpuView& cpu, Code const& code) {
    Opcode const first = opcode(code);
    StepInstruction out{.kind = kind_of(first)};
    Decoded decoded;
    if (out.kind == Kind::Ordinary || !decode_full(code, decoded).ok()) {
        return {};
    }
    out.length = decoded.instruction.length;
    out.operand_bytes = static_cast<u8>(decoded.instruction.operand_width / 8);
    return fill_in(cpu, code, first, decoded, out) ? out : StepInstruction{};
}
} // namespace hv::decode
