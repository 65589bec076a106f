// SPDX-License-Identifier: Apache-2.0
// The I/O and MSR permission maps all guests share: every port exits, and every MSR except the few that the
// world switch itself moves.
#pragma once
#include "hv/base/types.hpp"
#include <span>

namespace hv::svm {
inline constexpr usize kIoMapBytes = 3 * kPageBytes;
inline constexpr usize kMsrMapBytes = 2 * kPageBytes;

/// AMD APM vol 2 §15.10.1, "I/O Permissions Map": a set bit intercepts.
void fill_io_map(std::span<u8, kIoMapBytes> map);

/// AMD APM vol 2 §15.11, "MSR Intercepts": two bits an MSR, read below write; a set bit intercepts.
void fill_msr_map(std::span<u8, kMsrMapBytes> map);

/// Where the map keeps @p msr: index of its read bit, or -1 when it has none (such MSRs always exit).
constexpr s64 msr_map_bit(u32 msr) {
    constexpr u32 kRange = 0x2000, kRangeBits = kRange * 2;
    if (msr < kRange) {
        return s64{msr} * 2;
    }
    if (msr - 0xc000'0000 < kRange) {
        return kRangeBits + s64{msr - 0xc000'0000} * 2;
    }
    if (msr - 0xc001'0000 < kRange) {
        return 2 * kRangeBits + s64{msr - 0xc001'0000} * 2;
    }
    return -1;
}
static_assert(msr_map_bit(0xc000'0080) == 0x800 * 8 + 0x100); // EFER: byte 820h
} // namespace hv::svm
