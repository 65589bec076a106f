// SPDX-License-Identifier: Apache-2.0
// A machine for the balancer to work on, with partitions in all sorts of states.
#pragma once
#include "hv/dm/balancer.hpp"
#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace hv::dm::test {
constexpr u64 mib(u64 n) {
    return n * (MiB / kPageBytes);
}

struct Crowd {
    char const* name;
    u64 demand_percent;  ///< of the machine's memory
    u64 claimed_percent; ///< by partitions that wait to start
};

/// A machine full of partitions with all sorts of needs.
struct CrowdedMachine {
    std::vector<PartitionView> views;
    std::vector<PartitionMemory> memory;
    std::vector<Order> orders;
    HostView host;

    CrowdedMachine(usize count, Crowd const& crowd) : views(count), memory(count), orders(count) {
        std::mt19937_64 random{count};
        u64 assigned = 0;
        for (usize i = 0; i < count; ++i) {
            u64 const demand = mib(100 + random() % 4000);
            PartitionView& v = views[i];
            v = {.assigned = demand * 100 / crowd.demand_percent * (70 + random() % 60) / 100,
                 .demand = demand,
                 .minimum = mib(64),
                 .maximum = mib(16384),
                 .ballooned = random() % 2 * mib(2000),
                 .hot_addable = mib(8192),
                 .hot_add_unit = mib(128),
                 .buffer_percent = 20,
                 .priority = static_cast<u32>(i * 10'000 / count),
                 .reporting = random() % 16 != 0,
                 .can_act = random() % 8 != 0};
            v.assigned = v.assigned < v.minimum ? v.minimum : v.assigned;
            assigned += v.assigned;
        }
        host = {.free = assigned / 50, .claimed = assigned / 100 * crowd.claimed_percent, .idle_ticks = 60};
    }
    void tick() { balance(host, views, memory, orders); }
    /// @p total in this machine's one tick, divided by its partitions.
    double each(unsigned long total) const {
        return static_cast<double>(total) / static_cast<double>(views.size());
    }
};

inline auto crowds() {
    return Catch::Generators::values<Crowd>({{"enough for all", 60, 0},
                                             {"buffers are short", 92, 0},
                                             {"demand is short", 110, 5},
                                             {"everyone near its minimum", 110, 95}});
}
} // namespace hv::dm::test
