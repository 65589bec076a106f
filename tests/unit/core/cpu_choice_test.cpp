// SPDX-License-Identifier: Apache-2.0
#include "hv/core/cpu_choice.hpp"
#include <catch2/catch.hpp>

using hv::CpuOffer;
using hv::is_better;

TEST_CASE("the least loaded CPU comes first, then the one whose node has most memory", "[scheduler]") {
    CHECK(is_better(CpuOffer{0, 0}, CpuOffer{1, 9}));
    CHECK_FALSE(is_better(CpuOffer{1, 9}, CpuOffer{0, 0}));
    CHECK(is_better(CpuOffer{1, 9}, CpuOffer{1, 8}));
    CHECK_FALSE(is_better(CpuOffer{1, 8}, CpuOffer{1, 9}));
    CHECK_FALSE(is_better(CpuOffer{1, 9}, CpuOffer{1, 9})); // the first of equals stays
}
