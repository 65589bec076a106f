// SPDX-License-Identifier: Apache-2.0
// The budget of one tick: at most 200 instructions a partition, whatever the crowd.
#include "tests/unit/dm_cost/crowded_machine.hpp"
#include "tests/unit/dm_cost/instruction_counter.hpp"
#include <cstdio>

using namespace hv;
using namespace hv::dm::test;

namespace {
constexpr double kBudget = 200;
} // namespace

TEST_CASE("counting counts", "[dm][cost]") {
    unsigned long const nothing = hv::test::count_instructions([] {});
    unsigned long const ten = hv::test::count_instructions([] { asm volatile(".rept 10\n nop\n .endr"); });
    CHECK(ten == nothing + 10);
}

TEST_CASE("a tick costs at most 200 instructions a partition", "[dm][cost]") {
    Crowd const crowd = GENERATE(crowds());
    CrowdedMachine machine{64, crowd}; // few: each counted instruction is a signal
    machine.tick();
    double const cost = machine.each(hv::test::count_instructions([&] { machine.tick(); }));
    std::printf("balancer, 64 partitions, %s: %.0f instructions a partition\n", crowd.name, cost);
    CHECK(cost > 10);
    CHECK(cost <= kBudget);
}
