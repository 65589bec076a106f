// SPDX-License-Identifier: Apache-2.0
#include "hv/init/boot/tsc_rate.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::init;

TEST_CASE("frequencies of real crystals are found through measurement noise", "[tsc_rate]") {
    struct Case {
        u64 hz, blur_ticks;
    };
    for (Case c : {Case{100'000'000, 120}, Case{1'000'000'000, 60}, Case{2'592'000'000, 3000},
                   Case{3'000'000'000, 2500}, Case{3'400'000'000, 100}}) {
        for (s64 noise : {-1, 0, 1}) {
            u64 const pit = 11'932;
            u64 const exact = scale(pit, c.hz, kPitHz);
            u64 const ticks = exact + static_cast<u64>(noise * static_cast<s64>(c.blur_ticks / 4));
            CHECK(frequency_hz({pit, ticks, c.blur_ticks}) == c.hz);
        }
    }
}

TEST_CASE("a frequency that is not round is reported as measured", "[tsc_rate]") {
    u64 const ticks = scale(11'932, 2'593'905'000, kPitHz);
    u64 const hz = *frequency_hz({11'932, ticks, 50});
    CHECK(hz > 2'593'800'000);
    CHECK(hz < 2'594'000'000);
    CHECK(hz % 1'000'000 != 0);
}

TEST_CASE("scaling does not overflow in between", "[tsc_rate]") {
    u64 const year_of_ticks = 5'000'000'000ull * 86'400 * 365;
    CHECK(scale(year_of_ticks, 10'000'000, 5'000'000'000ull) == 10'000'000ull * 86'400 * 365);
    CHECK(scale(7, 3, 2) == 10);
}
