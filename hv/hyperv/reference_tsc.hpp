// SPDX-License-Identifier: Apache-2.0
// Arithmetic between the guest's TSC and reference time (100 ns units).
#pragma once
#include "hv/base/types.hpp"
#include "hv/hyperv/hyperv_abi.hpp"

namespace hv::hyperv {
inline constexpr u64 kReferenceHz = 10'000'000;

/// floor(10^7 · 2^64 / tsc_hz): what the reference TSC page multiplies with. By long division, because a
/// 128-bit one needs a run-time library. @param tsc_hz above 10 MHz
constexpr u64 reference_scale(u64 tsc_hz) {
    u64 quotient = 0, remainder = kReferenceHz; // < tsc_hz
    for (int bit = 0; bit < 64; ++bit) {
        bool const carry = remainder >> 63 != 0;
        remainder <<= 1;
        quotient <<= 1;
        if (carry || remainder >= tsc_hz) {
            remainder -= tsc_hz;
            quotient |= 1;
        }
    }
    return quotient;
}
static_assert(reference_scale(20'000'000) == 1ull << 63);
static_assert(reference_scale(2'500'000'000) == 0x0106'24dd'2f1a'9fbe);

/// (tsc × scale) >> 64, as the guest computes it.
constexpr u64 scaled_tsc(u64 tsc, u64 scale) {
    return static_cast<u64>(static_cast<unsigned __int128>(tsc) * scale >> 64);
}

/// The page for a partition whose TSC reads @p tsc at reference time @p reference.
constexpr ReferenceTscPage reference_page(u32 sequence, u64 tsc, u64 reference, u64 tsc_hz) {
    u64 const scale = reference_scale(tsc_hz);
    return {sequence, 0, scale, static_cast<s64>(reference - scaled_tsc(tsc, scale))};
}
} // namespace hv::hyperv
