// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/address_space.hpp"
#include <catch2/catch.hpp>
#include <vector>

using namespace hv;
using namespace hv::init;

TEST_CASE("no two stacks of 256 CPUs touch, and below each lies a page of nobody's", "[stacks]") {
    u64 last_top = 0;
    for (u32 cpu = 0; cpu < 256; ++cpu) {
        for (unsigned kind = 0; kind < kStackKinds; ++kind) {
            StackRange const range = stack_of(cpu, static_cast<StackKind>(kind));
            CHECK(range.bottom >= last_top + kPageBytes);
            CHECK(range.bottom % kPageBytes == 0);
            CHECK(range.top % 16 == 0);
            CHECK(range.guard_holds(range.bottom - 1));
            CHECK_FALSE(range.guard_holds(range.bottom));
            CHECK(range.holds(range.top - 8));
            last_top = range.top;
        }
    }
}
