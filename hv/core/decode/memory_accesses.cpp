// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/memory_accesses.hpp"
#include "hv/core/decode/operand.hpp"

namespace hv::decode {
namespace {
constexpr u8 kReads = ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD;
constexpr u8 kWrites = ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE;

/// A memory operand that nothing is read from.
bool only_names_memory(ZydisDecodedInstruction const& i) {
    return i.mnemonic == ZYDIS_MNEMONIC_NOP || i.mnemonic == ZYDIS_MNEMONIC_INVLPG ||
           i.meta.category == ZYDIS_CATEGORY_PREFETCH || i.meta.category == ZYDIS_CATEGORY_PREFETCHWT1;
}

/// Instructions whose operands do not tell all that they access.
bool tells_less(Decoded const& d) {
    switch (d.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_MOVDIR64B:
    case ZYDIS_MNEMONIC_ENQCMD:
    case ZYDIS_MNEMONIC_ENQCMDS: return true;
    case ZYDIS_MNEMONIC_ENTER: return d.operands[1].imm.value.u != 0; // copies outer frame pointers
    default:
        return d.instruction.meta.category == ZYDIS_CATEGORY_XSAVE ||
               d.instruction.meta.category == ZYDIS_CATEGORY_XSAVEOPT;
    }
}

bool is_string(ZydisDecodedInstruction const& i) {
    return i.meta.category == ZYDIS_CATEGORY_STRINGOP || i.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/// Repeated no times?
bool does_nothing(CpuView& cpu, ZydisDecodedInstruction const& i) {
    bool repeat = false;
    for (unsigned n = 0; n < i.raw.prefix_count; ++n) {
        repeat |= i.raw.prefixes[n].value == 0xf2 || i.raw.prefixes[n].value == 0xf3;
    }
    return repeat && is_string(i) &&
           read_register(cpu, {Reg::Rcx, static_cast<u8>(i.address_width / 8), false}) == 0;
}

/// BT and its kin with the bit number in a register reach beyond the operand.
u64 bit_string_offset(CpuView& cpu, Decoded const& d) {
    RegisterOperand number;
    switch (d.instruction.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS: break;
    default: return 0;
    }
    if (d.operands[1].type != ZYDIS_OPERAND_TYPE_REGISTER ||
        !general_register(d.operands[1].reg.value, number)) {
        return 0;
    }
    s64 const index = static_cast<s64>(sign_extend(read_register(cpu, number), number.size_bytes));
    s64 const bits = 8 * number.size_bytes;
    s64 const element = index >= 0 ? index / bits : -((bits - 1 - index) / bits);
    return static_cast<u64>(element) * number.size_bytes;
}

class Collector {
  public:
    Collector(CpuView& cpu, Code const& code, Decoded const& decoded) : cpu_{cpu}, code_{code}, d_{decoded} {}

    MemoryAccesses run() {
        out_.complete = !tells_less(d_);
        if (only_names_memory(d_.instruction) || does_nothing(cpu_, d_.instruction)) {
            return out_;
        }
        for (unsigned i = 0; i < d_.instruction.operand_count; ++i) {
            ZydisDecodedOperand const& operand = d_.operands[i];
            if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) {
                continue;
            }
            if (operand.mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
                out_.complete = false; // an address for each element
            } else if (operand.mem.type == ZYDIS_MEMOP_TYPE_MEM) {
                add(operand);
            }
        }
        return out_;
    }

  private:
    /// Hidden operands are a register as it is now; the stack's goes by the width of the stack pointer, and
    /// is pushed to below it.
    u64 hidden_offset(ZydisDecodedOperand const& operand, u32 bytes) {
        RegisterOperand base;
        if (!general_register(operand.mem.base, base)) {
            return 0;
        }
        u64 offset = read_register(cpu_, base);
        if (base.reg == Reg::Rsp && (operand.actions & kWrites) != 0) {
            offset -= bytes;
        }
        if (d_.instruction.mnemonic == ZYDIS_MNEMONIC_XLAT) {
            offset += cpu_.read(Reg::Rax) & 0xff;
        }
        return offset & size_mask(base.size_bytes);
    }

    u64 explicit_offset(ZydisDecodedOperand const& operand) {
        u64 offset = effective_offset(cpu_, d_.instruction, operand) + bit_string_offset(cpu_, d_);
        RegisterOperand base;
        if (d_.instruction.mnemonic == ZYDIS_MNEMONIC_POP && general_register(operand.mem.base, base) &&
            base.reg == Reg::Rsp) {
            offset += operand.size / 8; // POP to memory computes its address behind the increment
        }
        return offset & size_mask(static_cast<u8>(d_.instruction.address_width / 8));
    }

    void add(ZydisDecodedOperand const& operand) {
        bool const hidden = operand.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
        u32 bytes = operand.size / 8;
        if (hidden && d_.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR &&
            d_.instruction.mnemonic == ZYDIS_MNEMONIC_CALL) {
            bytes = 2u * d_.instruction.operand_width / 8; // CS and the return address
        }
        Seg segment = Seg::Ds;
        segment_register(operand.mem.segment, segment);
        u64 const offset = hidden ? hidden_offset(operand, bytes) : explicit_offset(operand);
        bool const writes = (operand.actions & kWrites) != 0;
        auto const at = in_segment(cpu_, code_.mode, segment, offset, 1, writes ? Access::W : Access::R);
        if (!at.ok() || bytes == 0) {
            return; // it will fault
        }
        if (out_.count == MemoryAccesses::kMax) {
            out_.complete = false;
            return;
        }
        out_.entry[out_.count++] = {at.value().linear, bytes, (operand.actions & kReads) != 0, writes};
    }

    CpuView& cpu_;
    Code const& code_;
    Decoded const& d_;
    MemoryAccesses out_;
};
} // namespace

MemoryAccesses memory_accesses(CpuView& cpu, Code const& code) {
    Decoded decoded;
    if (!decode_full(code, decoded).ok()) {
        MemoryAccesses unknown;
        unknown.complete = false;
        return unknown;
    }
    return Collector{cpu, code, decoded}.run();
}
} // namespace hv::decode
