// SPDX-License-Identifier: Apache-2.0
// Products and quotients of 128 bits without the compiler's run-time library.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
__extension__ using u128 = unsigned __int128;

/// floor(value × 2^64 / divisor). @param divisor greater than @p value. A loop of 64 steps: for set-up.
constexpr u64 fraction_of(u64 value, u64 divisor) {
    u64 quotient = 0;
    u128 rest = value;
    for (int i = 0; i < 64; ++i) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1;
        }
    }
    return quotient;
}
static_assert(fraction_of(1, 2) == 1ull << 63);

/// The upper half of a × b: a times the fraction b / 2^64.
constexpr u64 multiply_high(u64 a, u64 b) {
    return static_cast<u64>(static_cast<u128>(a) * b >> 64);
}
} // namespace hv
