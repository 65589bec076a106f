// SPDX-License-Identifier: Apache-2.0
// One tick of the policy at a time.
#include <catch2/catch.hpp>

#include "tests/unit/dm/simulator.hpp"

using namespace hv;
using namespace hv::dm;
using hv::dm::test::mib;

namespace {
/// A partition with a live driver that has what it wants: 1000 MiB assigned, 20 % buffer.
PartitionView content(u64 demand_mib = 800) {
    return {.assigned = mib(demand_mib * 12 / 10),
            .demand = mib(demand_mib),
            .minimum = mib(128),
            .maximum = mib(8192),
            .ballooned = mib(256),
            .hot_addable = mib(4096),
            .hot_add_unit = mib(128),
            .reporting = true,
            .can_act = true};
}

struct Tick {
    std::vector<PartitionView> views;
    std::vector<PartitionMemory> memory;
    std::vector<Order> orders;

    explicit Tick(std::vector<PartitionView> v) : views{std::move(v)}, memory(views.size()) {}
    std::vector<Order> const& run(u64 free_mib, u64 claimed_mib = 0, u64 idle_ticks = 60) {
        orders.assign(views.size(), {});
        balance({.free = mib(free_mib), .claimed = mib(claimed_mib), .idle_ticks = idle_ticks}, views, memory,
                orders);
        return orders;
    }
};
} // namespace

TEST_CASE("wanted is demand and buffer, within minimum and maximum", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(1000);
    CHECK(wanted_pages(v) == mib(1200));
    v.buffer_percent = 2000;
    CHECK(wanted_pages(v) == v.maximum);
    v.demand = 0;
    CHECK(wanted_pages(v) == v.minimum);
    v.reporting = false;
    CHECK(wanted_pages(v) == v.assigned);
}

TEST_CASE("wanted survives the largest numbers a guest can say", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = 1ull << 40;
    v.buffer_percent = 2000;
    CHECK(wanted_pages(v) == v.maximum);
    CHECK(availability_percent(v.assigned, v.demand) < 0);
    CHECK(pressure_percent(1, v.demand) == (1ull << 40) * 100);
}

TEST_CASE("status, availability and pressure follow the definitions of the design", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(1000);
    v.assigned = mib(1200);
    CHECK(status(v) == MemoryStatus::Ok);
    v.assigned = mib(1199);
    CHECK(status(v) == MemoryStatus::Low);
    v.assigned = mib(1000);
    CHECK(status(v) == MemoryStatus::Low);
    v.assigned = mib(999);
    CHECK(status(v) == MemoryStatus::Warning);
    v.reporting = false;
    CHECK(status(v) == MemoryStatus::NotReported);
    CHECK(availability_percent(mib(1000), mib(750)) == 25);
    CHECK(availability_percent(mib(1000), mib(1250)) == -25);
    CHECK(availability_percent(0, mib(10)) == 0);
    CHECK(pressure_percent(mib(1000), mib(1250)) == 125);
    CHECK(pressure_percent(0, 5) == 0);
}

TEST_CASE("a hungry guest gets no more than the host has free", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(2000);
    v.ballooned = mib(4000);
    Tick tick{{v}};
    Order const order = tick.run(100)[0];
    CHECK(order.kind == Order::Kind::GiveBack);
    CHECK(order.reason == Reason::BelowDemand);
    CHECK(order.pages == mib(100));
}

TEST_CASE("a claim of a starting partition is not given to a hungry one", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(2000);
    v.ballooned = mib(4000);
    Tick tick{{v}};
    CHECK(tick.run(300, 256)[0].pages <= mib(44));
    CHECK(tick.run(256, 256)[0].kind == Order::Kind::Hold);
    CHECK(tick.orders[0].reason == Reason::NoFreeMemory);
}

TEST_CASE("ballooned memory comes back before anything is hot-added", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(2000);
    Tick tick{{v}};
    CHECK(tick.run(4000)[0].kind == Order::Kind::GiveBack);
    CHECK(tick.orders[0].pages == v.ballooned);
    tick.views[0].ballooned = 0;
    CHECK(tick.run(4000)[0].kind == Order::Kind::HotAdd);
    CHECK(tick.orders[0].pages % mib(128) == 0);
    CHECK(tick.orders[0].pages == mib(1536)); // 2400 wanted − 960 assigned, in whole units
}

TEST_CASE("hot add ends at what may still be added, unit or not", "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(2000);
    v.ballooned = 0;
    v.hot_addable = mib(90);
    Tick tick{{v}};
    CHECK(tick.run(4000)[0].kind == Order::Kind::HotAdd);
    CHECK(tick.orders[0].pages == mib(90));
}

TEST_CASE("a crumb of free memory is not hot-added: describing a unit costs the guest more",
          "[dm][balancer]") {
    PartitionView v = content();
    v.demand = mib(2000);
    v.ballooned = 0;
    Tick tick{{v}};
    CHECK(tick.run(8)[0].kind == Order::Kind::Hold);
    CHECK(tick.orders[0].reason == Reason::NoFreeMemory);
    CHECK(tick.run(64)[0].kind == Order::Kind::HotAdd);
    CHECK(tick.orders[0].pages == mib(64));
}

TEST_CASE("surplus is taken from the least priority first, and only as much as is needed", "[dm][balancer]") {
    PartitionView rich = content(), hungry = content();
    rich.assigned += mib(400);
    hungry.demand += mib(500); // wants 600 more
    hungry.ballooned = mib(1000);
    Tick tick{{rich, rich, rich, hungry}};
    for (u32 i = 0; i < 4; ++i) {
        tick.views[i].priority = 1000 * i;
    }
    auto const& orders = tick.run(0);
    CHECK(orders[0].kind == Order::Kind::Balloon);
    CHECK(orders[0].reason == Reason::Surplus);
    CHECK(orders[0].pages == mib(400));
    CHECK(orders[1].kind == Order::Kind::Balloon);
    CHECK(orders[1].pages >= mib(200));
    CHECK(orders[1].pages <= mib(230)); // who grows gets 1/64 more than it wants
    CHECK(orders[2].kind == Order::Kind::Hold);
    CHECK(orders[3].reason == Reason::NoFreeMemory);
}

TEST_CASE("what is free is given before anything is taken", "[dm][balancer]") {
    PartitionView rich = content(), hungry = content();
    rich.assigned += mib(400);
    hungry.demand += mib(100); // wants 120 more
    hungry.priority = 6000;
    Tick tick{{rich, hungry}};
    auto const& orders = tick.run(200);
    CHECK(orders[0].kind == Order::Kind::Hold);
    CHECK(orders[1].kind == Order::Kind::GiveBack);
    CHECK(orders[1].pages >= mib(120));
    CHECK(orders[1].pages <= mib(140));
}

TEST_CASE("under shortage the lower priority gives more, and nobody goes below minimum", "[dm][balancer]") {
    PartitionView v = content(); // 960 assigned, 800 demand, 960 wanted
    Tick tick{{v, v, v}};
    tick.views[0].priority = 1000;
    tick.views[1].priority = 9000;
    tick.views[2].priority = 9500;
    tick.views[2].demand = mib(1000); // wants 240 more; buffers are 160, 160 and 200
    auto const& orders = tick.run(0);
    REQUIRE(orders[0].kind == Order::Kind::Balloon);
    CHECK(orders[0].reason == Reason::SharedShortage);
    u64 const low = orders[0].pages, high = orders[1].kind == Order::Kind::Balloon ? orders[1].pages : 0;
    CHECK(low > high);
    CHECK(tick.views[0].assigned - low >= tick.views[0].demand); // demand of all is affordable
    CHECK(tick.views[1].assigned - high >= tick.views[1].demand);
}

TEST_CASE("a claim takes everything above the minimums and stops there", "[dm][balancer]") {
    PartitionView const v = content();
    Tick tick{{v, v}};
    u64 const claim = 10'000;
    auto const& orders = tick.run(0, claim);
    for (Order const& order : orders) {
        CHECK(order.kind == Order::Kind::Balloon);
        CHECK(order.pages == v.assigned - v.minimum);
    }
    CHECK(reclaimable_pages(tick.views) == 2 * (v.assigned - v.minimum));
}

TEST_CASE("a small claim on many is met, though each part of it is less than a large page",
          "[dm][balancer]") {
    PartitionView v = content();
    v.assigned = v.demand; // no surplus anywhere
    Tick tick{std::vector<PartitionView>(1000, v)};
    u64 taken = 0;
    for (Order const& order : tick.run(0, 100)) {
        if (order.kind == Order::Kind::Balloon) {
            CHECK(order.pages % kPagesPerLargePage == 0);
            taken += order.pages;
        }
    }
    CHECK(taken >= mib(100));
    CHECK(taken < mib(103));
}

TEST_CASE("an idle surplus goes back slowly after idle_ticks and not before", "[dm][balancer]") {
    PartitionView v = content();
    v.assigned += mib(800);
    Tick tick{{v}};
    for (u32 i = 0; i < 60; ++i) {
        CHECK(tick.run(1000)[0].kind == Order::Kind::Hold);
    }
    Order const order = tick.run(1000)[0];
    CHECK(order.kind == Order::Kind::Balloon);
    CHECK(order.reason == Reason::Idle);
    CHECK(order.pages == mib(100)); // an eighth
}

TEST_CASE("a moment of need starts the idle clock anew", "[dm][balancer]") {
    PartitionView v = content();
    v.assigned += mib(800);
    Tick tick{{v}};
    for (u32 i = 0; i < 60; ++i) {
        tick.run(1000);
    }
    tick.views[0].demand += mib(700);
    CHECK(tick.run(1000)[0].kind == Order::Kind::Hold);
    tick.views[0].demand -= mib(700);
    for (u32 i = 0; i < 60; ++i) {
        CHECK(tick.run(1000)[0].kind == Order::Kind::Hold);
    }
    CHECK(tick.run(1000)[0].reason == Reason::Idle);
}

TEST_CASE("after a short answer a guest is left alone for ten ticks, then asked again", "[dm][balancer]") {
    PartitionView v = content();
    v.assigned += mib(800);
    v.at_floor = true; // stays set until it is asked again
    Tick tick{{v}};
    u32 held = 0;
    while (tick.run(0, 100)[0].kind == Order::Kind::Hold && held < 100) {
        CHECK(tick.orders[0].reason == Reason::AtFloor);
        ++held;
    }
    CHECK(held == 10);
    CHECK(tick.orders[0].kind == Order::Kind::Balloon);
    CHECK(tick.run(0, 100)[0].reason == Reason::AtFloor); // short again: the same once more
}

TEST_CASE("while one guest is at its floor the next gives in its place", "[dm][balancer]") {
    PartitionView rich = content();
    rich.assigned += mib(400);
    Tick tick{{rich, rich}};
    tick.views[0].at_floor = true;
    auto const& orders = tick.run(0, 300);
    CHECK(orders[0].reason == Reason::AtFloor);
    CHECK(orders[1].kind == Order::Kind::Balloon);
    CHECK(orders[1].pages == mib(300));
}

TEST_CASE("a guest that cannot grow takes nothing from the others", "[dm][balancer]") {
    PartitionView rich = content(), stuck = content();
    rich.assigned += mib(400);
    stuck.demand += mib(500);
    stuck.ballooned = stuck.hot_addable = 0;
    Tick tick{{rich, stuck}};
    auto const& orders = tick.run(0);
    CHECK(orders[0].kind == Order::Kind::Hold);
    CHECK(orders[1].kind == Order::Kind::Hold);
    CHECK(orders[1].reason == Reason::CannotGrow);
}

TEST_CASE("who does not report or answer is planned around", "[dm][balancer]") {
    PartitionView silent = content(), gone = content(), hungry = content();
    silent.assigned += mib(4000);
    silent.reporting = false;
    gone.assigned += mib(4000);
    gone.cooperative = false;
    hungry.demand += mib(500);
    Tick tick{{silent, gone, hungry}};
    auto const& orders = tick.run(0);
    CHECK(orders[0].reason == Reason::NotReporting);
    CHECK(orders[1].reason == Reason::NotReporting);
    CHECK(orders[2].reason == Reason::NoFreeMemory);
    CHECK(reclaimable_pages(tick.views) == hungry.assigned - hungry.minimum);
}

TEST_CASE("a busy guest is not ordered about, and what it gives is not asked of others too",
          "[dm][balancer]") {
    PartitionView busy = content(), rich = content();
    busy.assigned += mib(400);
    rich.assigned += mib(400);
    busy.can_act = false;
    Tick tick{{busy, rich}};
    auto const& orders = tick.run(0, 300);
    CHECK(orders[0].reason == Reason::Busy);
    CHECK(orders[1].kind == Order::Kind::Hold);
}

TEST_CASE("free memory goes to the highest priority first", "[dm][balancer]") {
    PartitionView hungry = content();
    hungry.demand += mib(500);
    hungry.ballooned = mib(2000);
    Tick tick{{hungry, hungry}};
    tick.views[0].priority = 1000;
    tick.views[1].priority = 9000;
    auto const& orders = tick.run(100);
    CHECK(orders[1].kind == Order::Kind::GiveBack);
    CHECK(orders[1].pages == mib(100));
    CHECK(orders[0].kind != Order::Kind::GiveBack);
}

TEST_CASE("differences within the tolerance are left alone", "[dm][balancer]") {
    PartitionView v = content();
    v.assigned -= mib(20); // wants 960: lacks about 2 %
    Tick tick{{v}};
    CHECK(tick.run(1000)[0].kind == Order::Kind::Hold);
    CHECK(tick.orders[0].reason == Reason::Satisfied);
    tick.views[0].assigned -= mib(20); // about 4 %
    CHECK(tick.run(1000)[0].kind == Order::Kind::GiveBack);
}

TEST_CASE("a guest at its floor is asked again at once when its demand has fallen", "[dm][balancer]") {
    PartitionView v = content();
    v.assigned += mib(800);
    v.at_floor = true;
    Tick tick{{v}};
    tick.run(0, 100);
    tick.views[0].demand -= mib(20); // no more than trembling
    CHECK(tick.run(0, 100)[0].reason == Reason::AtFloor);
    tick.views[0].demand -= mib(200);
    CHECK(tick.run(0, 100)[0].kind == Order::Kind::Balloon);
}

TEST_CASE("a surplus below a sixteenth is not worth taking back", "[dm][balancer]") {
    PartitionView v = content(); // wants 960
    v.assigned += mib(50);
    Tick tick{{v}};
    for (u32 i = 0; i < 200; ++i) {
        CHECK(tick.run(1000)[0].kind == Order::Kind::Hold);
    }
}

TEST_CASE("in a shortage nobody counts on what a guest at its floor has", "[dm][balancer]") {
    PartitionView stuck = content(), other = content(), hungry = content();
    stuck.assigned += mib(1000);
    stuck.at_floor = true;
    hungry.demand += mib(100);
    hungry.priority = 9000;
    Tick tick{{stuck, other, hungry}};
    auto const& orders = tick.run(0);
    CHECK(orders[0].reason == Reason::AtFloor);
    CHECK(orders[1].kind == Order::Kind::Balloon);
    CHECK(orders[1].reason == Reason::SharedShortage);
}

TEST_CASE("equal priorities share equally, and the small need of one is the others' gain", "[dm][balancer]") {
    PartitionView small = content(100), large = content(2000);
    small.minimum = large.minimum = mib(10);
    small.assigned = mib(100);
    large.assigned = mib(500);
    Tick tick{{large, small, large, large, small}};
    tick.run(0, 200); // 1500 are left: 100 for each small one, 433 for each large one
    for (usize i : {0, 2, 3}) {
        CAPTURE(i, tick.memory[i].entitled / mib(1));
        CHECK(tick.memory[i].entitled >= mib(430));
        CHECK(tick.memory[i].entitled <= mib(436));
    }
    CHECK(tick.memory[1].entitled == mib(100));
    CHECK(tick.memory[4].entitled == mib(100));
}

TEST_CASE("what a busy guest is about to get is not for lower priorities", "[dm][balancer]") {
    PartitionView rich = content(), hungry = content();
    rich.assigned += mib(2000);
    hungry.demand += mib(500);
    hungry.ballooned = mib(2000);
    Tick tick{{rich, hungry, hungry}};
    for (u32 i = 0; i < 3; ++i) {
        tick.views[i].priority = 3000 * i;
    }
    tick.views[2].can_act = false;
    auto const& orders = tick.run(100); // the rest is on its way from the first
    CHECK(orders[0].kind == Order::Kind::Balloon);
    CHECK(orders[1].reason == Reason::NoFreeMemory);
    tick.views[2].can_act = true;
    CHECK(tick.run(100)[2].pages == mib(100));
}

namespace {
/// Wants 1200 MiB, has @p assigned_mib.
PartitionView short_of_memory(u64 assigned_mib) {
    PartitionView v = content(1000);
    v.assigned = mib(assigned_mib);
    return v;
}
} // namespace

TEST_CASE("a shortage is not moved around for little things", "[dm][balancer]") {
    Tick tick{{short_of_memory(1090), short_of_memory(1110)}}; // 1100 for each would be fair
    for (u64 demand_mib : {1000, 1200}) {
        tick.views[0].demand = tick.views[1].demand = mib(demand_mib);
        CHECK(tick.run(0)[0].reason == Reason::NoFreeMemory);
        CHECK(tick.orders[1].kind == Order::Kind::Hold);
    }
    CHECK(tick.run(6)[0].kind == Order::Kind::GiveBack); // what is free is given to who is below its demand
}

TEST_CASE("no more is taken than those get who grow", "[dm][balancer]") {
    // 1100 for each would be fair; the first lacks too little to act on, the second 90.
    Tick tick{{short_of_memory(1090), short_of_memory(1010), short_of_memory(1150), short_of_memory(1150)}};
    auto const& orders = tick.run(0);
    REQUIRE(orders[2].kind == Order::Kind::Balloon);
    REQUIRE(orders[3].kind == Order::Kind::Balloon);
    CHECK(orders[2].pages + orders[3].pages == mib(90));
}

TEST_CASE("in a shortage a hot add is cut to the share, not rounded up to a unit", "[dm][balancer]") {
    PartitionView v = short_of_memory(1000);
    v.ballooned = 0;
    Tick tick{{v, v}};
    auto const& orders = tick.run(100);
    for (Order const& order : orders) {
        CHECK(order.kind == Order::Kind::HotAdd);
        CHECK(order.pages >= mib(48));
        CHECK(order.pages <= mib(50));
    }
}

TEST_CASE("no partitions, no orders", "[dm][balancer]") {
    Tick tick{{}};
    CHECK(tick.run(100, 200).empty());
}
