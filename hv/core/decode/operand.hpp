// SPDX-License-Identifier: Apache-2.0
// From Zydis's operands to registers and linear addresses. Private to this folder.
#pragma once
#include "hv/core/decode/alu.hpp"
#include "hv/core/decode/zydis_decode.hpp"

namespace hv::decode {
/// A general register as an operand.
struct RegisterOperand {
    Reg reg = Reg::Rax;
    u8 size_bytes = 8;
    bool high_byte = false; ///< AH, CH, DH, BH
};
/// @return false for anything but a general register.
bool general_register(ZydisRegister, RegisterOperand& out);
/// @return false for anything but ES…GS.
bool segment_register(ZydisRegister, Seg& out);

u64 read_register(CpuView&, RegisterOperand const&);
/// 32-bit writes clear the upper half, narrower ones leave the rest.
void write_register(CpuView&, RegisterOperand const&, u64 value);

/// A place in a segment.
struct LinearOperand {
    u64 linear = 0;
    u8 size_bytes = 0;
    bool stack = false; ///< faults are #SS, not #GP
};

/// Base, limit and type checks of one access. @p access R or W.
/// Source: SDM vol 3A, "Protection": limit and type checking; in 64-bit mode only FS and GS have a base.
Result<LinearOperand, EmulationFailure> in_segment(CpuView&, CodeMode, Seg, u64 offset, u8 size_bytes,
                                                   Access);

/// Base + index × scale + displacement, truncated to the address size.
u64 effective_offset(CpuView&, ZydisDecodedInstruction const&, ZydisDecodedOperand const&);
/// The operand's place. @param extra_offset added to the offset (bit strings).
Result<LinearOperand, EmulationFailure> memory_operand(CpuView&, CodeMode, ZydisDecodedInstruction const&,
                                                       ZydisDecodedOperand const&, Access,
                                                       u64 extra_offset = 0);
} // namespace hv::decode
