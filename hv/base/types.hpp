// SPDX-License-Identifier: Apache-2.0
// The integer names of the manuals, and sizes every module needs.
#pragma once
#include <cstddef>
#include <cstdint>

namespace hv {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using usize = std::size_t;

inline constexpr u64 KiB = 1024;
inline constexpr u64 MiB = 1024 * KiB;
inline constexpr u64 GiB = 1024 * MiB;

inline constexpr u64 kPageBytes = 4 * KiB;
inline constexpr u64 kPageShift = 12;
inline constexpr u64 kLargePageBytes = 2 * MiB;
inline constexpr u64 kHugePageBytes = 1 * GiB;
inline constexpr u64 kPagesPerLargePage = kLargePageBytes / kPageBytes;

constexpr u64 align_down(u64 value, u64 power_of_two) {
    return value & ~(power_of_two - 1);
}
constexpr u64 align_up(u64 value, u64 power_of_two) {
    return align_down(value + power_of_two - 1, power_of_two);
}
} // namespace hv
