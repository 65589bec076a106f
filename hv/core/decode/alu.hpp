// SPDX-License-Identifier: Apache-2.0
// Integer operations with their status flags, as arithmetic: no inline assembly, so it runs and is tested
// anywhere (the unit test compares it with the processor).
#pragma once
#include "hv/base/types.hpp"

namespace hv::decode {
enum class AluOp : u8 {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Inc,
    Dec,
    Neg,
    Not,
    BitTest,
    BitSet,
    BitReset,
    BitComplement
};

struct AluResult {
    u64 value; ///< truncated to the operand size
    u64 rflags;
};

/// Computes left OP right on operands of @p size_bytes (1, 2, 4, 8). Flags that the manual leaves undefined
/// keep their value (logic operations' AF is cleared, as current processors do).
/// Inc, Dec, Neg and Not take only @p left; the bit operations take a bit number below 8 × size in @p right.
/// Source: Intel SDM vol 2, the instructions' "Flags affected".
AluResult alu(AluOp op, u8 size_bytes, u64 left, u64 right, u64 rflags);

constexpr u64 size_mask(u8 size_bytes) {
    return size_bytes == 8 ? ~0ull : (1ull << (8 * size_bytes)) - 1;
}
constexpr u64 sign_extend(u64 value, u8 size_bytes) {
    unsigned const shift = 64 - 8 * size_bytes;
    return static_cast<u64>(static_cast<s64>(value << shift) >> shift);
}
} // namespace hv::decode
