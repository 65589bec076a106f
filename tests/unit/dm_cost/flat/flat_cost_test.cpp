// SPDX-License-Identifier: Apache-2.0
// A tick stays flat up to 10,000 partitions: counted in basic blocks, which the compiler's coverage hook
// counts exactly and fast.
#include "tests/unit/dm_cost/crowded_machine.hpp"

using namespace hv;
using namespace hv::dm::test;

namespace {
unsigned long g_blocks;
}
/// Called by each basic block of the balancer: it is built with -fsanitize-coverage=trace-pc.
extern "C" void __sanitizer_cov_trace_pc() {
    ++g_blocks;
}

TEST_CASE("a tick costs each of 10,000 partitions what it costs each of 100", "[dm][cost]") {
    Crowd const crowd = GENERATE(crowds());
    auto const cost = [&](usize partitions) {
        CrowdedMachine machine{partitions, crowd};
        machine.tick();
        g_blocks = 0;
        machine.tick();
        return machine.each(g_blocks);
    };
    double const few = cost(100), many = cost(10'000);
    CAPTURE(crowd.name, few, many);
    CHECK(few > 2);
    CHECK(many > 2);
    CHECK(many < few * 1.2);
}
