// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/string_loop.hpp"

namespace hv::decode {
StringLoop::StringLoop(CpuView& cpu, CodeMode mode, Decoded const& decoded, u8 element_bytes)
    : cpu_{cpu},
      mode_{mode},
      address_bytes_{static_cast<u8>(decoded.instruction.address_width / 8)},
      element_bytes_{element_bytes},
      length_{decoded.instruction.length} {
    auto const& raw = decoded.instruction.raw;
    for (unsigned i = 0; i < raw.prefix_count; ++i) {
        // F2 repeats these instructions as F3 does.
        repeat_ |= raw.prefixes[i].value == 0xf2 || raw.prefixes[i].value == 0xf3;
    }
    for (unsigned i = 0; i < decoded.instruction.operand_count; ++i) {
        ZydisDecodedOperand const& operand = decoded.operands[i];
        RegisterOperand base;
        if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && general_register(operand.mem.base, base) &&
            base.reg == Reg::Rsi) {
            segment_register(operand.mem.segment, source_segment_);
        }
    }
}

Result<LinearOperand, EmulationFailure> StringLoop::source() const {
    return in_segment(cpu_, mode_, source_segment_, read_register(cpu_, sized(Reg::Rsi)), element_bytes_,
                      Access::R);
}

Result<LinearOperand, EmulationFailure> StringLoop::destination() const {
    return in_segment(cpu_, mode_, Seg::Es, read_register(cpu_, sized(Reg::Rdi)), element_bytes_, Access::W);
}

void StringLoop::advance() {
    bool const down = (cpu_.read(Reg::Rflags) & rflags::kDirection) != 0;
    u64 const step = down ? -u64{element_bytes_} : u64{element_bytes_};
    for (auto const& [used, reg] :
         {std::pair{moves_source_, Reg::Rsi}, std::pair{moves_destination_, Reg::Rdi}}) {
        if (used) {
            write_register(cpu_, sized(reg), read_register(cpu_, sized(reg)) + step);
        }
    }
    if (repeat_) {
        write_register(cpu_, sized(Reg::Rcx), count() - 1);
    }
}
} // namespace hv::decode
