// SPDX-License-Identifier: Apache-2.0
// How fast the clocks run: arithmetic on what was measured against the 8254 timer. Pure.
#pragma once
#include "hv/base/types.hpp"
#include <optional>

namespace hv::init {
inline constexpr u64 kPitHz = 1'193'182; ///< input clock of the 8254

/// Two looks at a clock, each taken the moment the PIT's count changed.
struct RateSample {
    u64 pit_ticks;   ///< between the two
    u64 clock_ticks; ///< of the clock in question
    u64 blur_ticks;  ///< of that clock: the longest time between two looks at the PIT at either end
};

/// The clock's frequency. Crystals have round frequencies: where the nearest multiple of 1 MHz (of 100 kHz
/// below 200 MHz) lies within what the measurement cannot tell apart, and within 200 ppm, it is taken.
/// @return nothing when the timer did not count.
constexpr std::optional<u64> frequency_hz(RateSample const& s) {
    if (s.pit_ticks == 0 || s.clock_ticks == 0) {
        return std::nullopt;
    }
    u64 const hz = s.clock_ticks * kPitHz / s.pit_ticks;
    u64 const step = hz < 200'000'000 ? 100'000 : 1'000'000;
    u64 const round = (hz + step / 2) / step * step;
    u64 const off = hz > round ? hz - round : round - hz;
    u64 const unsure = s.blur_ticks * kPitHz / s.pit_ticks;
    bool const take = round != 0 && off <= unsure && off <= hz / 5000;
    return take ? round : hz;
}
static_assert(*frequency_hz({11932, 10'000'150, 400}) == 1'000'000'000);
static_assert(*frequency_hz({11932, 10'003'000, 400}) != 1'000'000'000); // too far off to be that crystal
static_assert(!frequency_hz({0, 5, 0}));

/// The TSC's frequency out of CPUID 15h (SDM vol 2A, CPUID, "Time Stamp Counter and Nominal Core Crystal
/// Clock").
/// @return nothing where the processor does not tell all three.
constexpr std::optional<u64> tsc_hz_of_crystal(u32 denominator, u32 numerator, u32 crystal_hz) {
    if (denominator == 0 || numerator == 0 || crystal_hz == 0) {
        return std::nullopt;
    }
    return u64{crystal_hz} * numerator / denominator;
}
static_assert(*tsc_hz_of_crystal(2, 216, 24'000'000) == 2'592'000'000);

/// value × numerator / denominator, rounded down, without overflow in between; numerator × denominator and
/// the result must fit 64 bits.
constexpr u64 scale(u64 value, u64 numerator, u64 denominator) {
    return value / denominator * numerator + value % denominator * numerator / denominator;
}
static_assert(scale(~0ull, 10'000'000, 20'000'000) == ~0ull / 2);
} // namespace hv::init
