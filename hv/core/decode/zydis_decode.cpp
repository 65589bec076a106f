// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/zydis_decode.hpp"

namespace hv::decode {
namespace {
ZydisDecoder decoder_for(CodeMode mode) {
    ZydisMachineMode machine = ZYDIS_MACHINE_MODE_LONG_64;
    if (mode.real) {
        machine = ZYDIS_MACHINE_MODE_REAL_16;
    } else if (mode.code_bits == 32) {
        machine = ZYDIS_MACHINE_MODE_LEGACY_32;
    } else if (mode.code_bits == 16) {
        machine = ZYDIS_MACHINE_MODE_LEGACY_16;
    }
    ZydisStackWidth const stack = mode.stack_bits == 64   ? ZYDIS_STACK_WIDTH_64
                                  : mode.stack_bits == 32 ? ZYDIS_STACK_WIDTH_32
                                                          : ZYDIS_STACK_WIDTH_16;
    ZydisDecoder decoder;
    ZyanStatus const status = ZydisDecoderInit(&decoder, machine, stack);
    HV_ASSERT(ZYAN_SUCCESS(status));
    return decoder;
}

EmulationFailure failure(ZyanStatus status, Code const& code) {
    if (status == ZYDIS_STATUS_NO_MORE_DATA && code.count < kMaxInstructionBytes) {
        return code.beyond ? EmulationFailure::of(*code.beyond)
                           : EmulationFailure::of(GuestFault::general_protection());
    }
    // SDM vol 3A, "Limit checking": more than 15 bytes raise #GP, whatever they would mean.
    if (status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
        return EmulationFailure::of(GuestFault::general_protection());
    }
    return EmulationFailure::of(GuestFault::invalid_opcode());
}
} // namespace

Result<void, EmulationFailure> decode_full(Code const& code, Decoded& out) {
    ZydisDecoder const decoder = decoder_for(code.mode);
    ZyanStatus const status =
        ZydisDecoderDecodeFull(&decoder, code.bytes, code.count, &out.instruction, out.operands);
    if (!ZYAN_SUCCESS(status)) {
        return Err{failure(status, code)};
    }
    return {};
}

Result<u8, EmulationFailure> decode_length(Code const& code) {
    ZydisDecoder decoder = decoder_for(code.mode);
    ZyanStatus status = ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
    HV_ASSERT(ZYAN_SUCCESS(status));
    ZydisDecodedInstruction instruction;
    status = ZydisDecoderDecodeInstruction(&decoder, nullptr, code.bytes, code.count, &instruction);
    if (!ZYAN_SUCCESS(status)) {
        return Err{failure(status, code)};
    }
    return instruction.length;
}
} // namespace hv::decode
