// SPDX-License-Identifier: Apache-2.0
#include "hv/mm/free_bits.hpp"
#include <catch2/catch.hpp>
#include <random>

using hv::mm::FreeBits;

TEST_CASE("runs are found exactly where a slow search finds them", "[mm][bits]") {
    std::mt19937_64 random{3};
    for (int round = 0; round < 400; ++round) {
        FreeBits bits;
        unsigned const density = 1 + static_cast<unsigned>(round % 8);
        bool model[512];
        bits.fill(true);
        for (unsigned i = 0; i < 512; ++i) {
            model[i] = round % 16 == 15 || (random() % (1u << density)) != 0;
            bits.set_run(i, 0, model[i]);
        }
        if (round % 3 == 0) {
            unsigned const order = static_cast<unsigned>(random() % 9),
                           at = (random() % 512) >> order << order;
            bits.set_run(at, order, round % 2 == 0);
            std::fill(model + at, model + at + (1u << order), round % 2 == 0);
        }
        int largest = FreeBits::kNone;
        for (unsigned order = 0; order <= 8; ++order) {
            int expected = FreeBits::kNone;
            for (unsigned at = 0; at < 512 && expected < 0; at += 1u << order) {
                bool const run =
                    std::all_of(model + at, model + at + (1u << order), [](bool b) { return b; });
                REQUIRE(bits.run_free(at, order) == run);
                expected = run ? static_cast<int>(at) : expected;
            }
            REQUIRE(bits.find(order) == expected);
            largest = expected >= 0 ? static_cast<int>(order) : largest;
        }
        REQUIRE(bits.largest_order(8) == largest);
    }
}
