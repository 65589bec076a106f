// SPDX-License-Identifier: Apache-2.0
// The only place where Zydis is called; private to this folder.
#pragma once
#include "hv/core/decode/code_fetch.hpp"
#include <Zydis/Zydis.h>

namespace hv::decode {
struct Decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/// Instruction with all operands, or the fault the processor would raise for these bytes.
Result<void, EmulationFailure> decode_full(Code const&, Decoded& out);
/// The same without operands, several times faster.
Result<u8, EmulationFailure> decode_length(Code const&);
} // namespace hv::decode
