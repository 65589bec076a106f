// SPDX-License-Identifier: Apache-2.0
// The policy over minutes, around synthetic Linux guests.
#include <catch2/catch.hpp>

#include "tests/unit/dm/simulator.hpp"

using namespace hv;
using namespace hv::dm;
using namespace hv::dm::test;

namespace {
/// Quiet until @p from, then @p high_mib until @p to, then quiet again.
Load burst(u64 low_mib, u64 high_mib, u64 from, u64 to) {
    return [=](u64 s) { return mib(s >= from && s < to ? high_mib : low_mib); };
}
} // namespace

TEST_CASE("a guest grows past startup under load and shrinks below it when idle", "[dm][simulation]") {
    Simulator host{4096, 10};
    usize const web = host.start({.load = burst(100, 1200, 60, 120)});
    host.run(55);
    u64 const idle = host[web].assigned;
    CHECK(idle < mib(512));
    CHECK(idle >= mib(256));
    host.run(20);
    CHECK(host[web].assigned > mib(1400)); // floor and buffer on top
    CHECK(status(host[web].view()) != MemoryStatus::Warning);
    host.run(300);
    CHECK(host[web].assigned < mib(512));
}

TEST_CASE("growth ends exactly at maximum", "[dm][simulation]") {
    u64 const maximum = GENERATE(1024, 1000, 1300);
    Simulator host{8192, 60};
    usize const web = host.start({.maximum_mib = maximum, .load = steady(mib(3000))});
    host.run(60);
    CHECK(host[web].assigned == mib(maximum));
    host.mark();
    host.run(60);
    CHECK(host[web].orders == 0);
}

TEST_CASE("shrinking ends at minimum however little the guest uses", "[dm][simulation]") {
    Simulator host{8192, 5};
    usize const web = host.start({.minimum_mib = 300, .startup_mib = 2048, .load = steady(0)});
    host.run(200);
    CHECK(host[web].assigned >= mib(300));
    CHECK(host[web].assigned <= mib(325));
}

TEST_CASE("an idle surplus stays for idle seconds, then leaves slowly", "[dm][simulation]") {
    Simulator host{8192, 60};
    usize const web = host.start({.startup_mib = 2048, .load = steady(mib(100))});
    host.run(60);
    CHECK(host[web].assigned == mib(2048));
    host.run(8);
    u64 const after = host[web].assigned;
    CHECK(after < mib(2048));
    CHECK(after > mib(1024)); // not at once
    host.run(200);
    CHECK(host[web].assigned < mib(480));
}

TEST_CASE("with a steady load orders stop after settling", "[dm][simulation]") {
    u64 const load_mib = GENERATE(50, 150, 300, 400, 700, 1000);
    u64 const buffer = GENERATE(5, 20, 100, 2000);
    Simulator host{4096, 10};
    usize const web = host.start({.buffer_percent = static_cast<u32>(buffer), .load = steady(mib(load_mib))});
    host.run(300);
    host.mark();
    host.run(600);
    CAPTURE(load_mib, buffer, host[web].assigned_mib());
    CHECK(host[web].orders == 0);
}

TEST_CASE("a load that trembles does not make memory move to and fro", "[dm][simulation]") {
    Simulator host{4096, 10};
    auto trembling = [](u64 base) {
        return [base](u64 s) { return mib(base) + mib(base) * (s * 7 % 11) / 1000; }; // up to 1 %
    };
    usize const a = host.start({.load = trembling(700)});
    usize const b = host.start({.load = trembling(900)});
    host.run(120);
    host.mark();
    host.run(600);
    CHECK(host[a].orders <= 2);
    CHECK(host[b].orders <= 2);
}

TEST_CASE("in a lasting shortage memory settles too", "[dm][simulation]") {
    Simulator host{2048, 10};
    auto trembling = [](u64 base) {
        return [base](u64 s) { return mib(base) + mib(base) * (s * 5 % 13) / 1300; };
    };
    std::vector<usize> all;
    for (u32 i = 0; i < 4; ++i) {
        all.push_back(host.start({.priority = 2000 * (i + 1), .load = trembling(600 + 100 * i)}));
    }
    host.run(200);
    host.mark();
    host.run(600);
    for (usize i : all) {
        CAPTURE(i, host[i].assigned_mib(), host[i].balloon_orders, host[i].grow_orders);
        CHECK(host[i].orders <= 6); // one in a hundred seconds
    }
    CHECK(host.free() < mib(64));
}

TEST_CASE("a hungry guest gets a neighbour's surplus within seconds, the least priority's first",
          "[dm][simulation]") {
    Simulator host{3072, 3600};
    usize const low = host.start({.startup_mib = 1024, .priority = 1000, .load = steady(mib(100))});
    usize const high = host.start({.startup_mib = 1024, .priority = 8000, .load = steady(mib(100))});
    usize const hungry = host.start({.startup_mib = 1024, .load = burst(200, 800, 30, 1000)});
    host.run(29);
    CHECK(host.free() == 0);
    CHECK(host[low].assigned == mib(1024)); // nobody asked yet
    host.run(15);
    CHECK(status(host[hungry].view()) == MemoryStatus::Ok);
    CHECK(host[high].assigned == mib(1024));
    CHECK(host[low].assigned < mib(1024));
    CHECK(status(host[low].view()) == MemoryStatus::Ok);
}

TEST_CASE("in a shortage demand is met before anyone's buffer, and priority decides the rest",
          "[dm][simulation]") {
    Simulator host{3000, 10};
    usize const low = host.start({.priority = 1000, .load = steady(mib(700))});
    usize const middle = host.start({.priority = 5000, .load = steady(mib(700))});
    usize const high = host.start({.priority = 9000, .load = steady(mib(700))});
    host.run(120);
    for (usize i : {low, middle, high}) {
        CAPTURE(i, host[i].assigned_mib(), host[i].demand() / mib(1));
        CHECK(host[i].assigned + mib(34) >= host[i].demand()); // tolerance
    }
    CHECK(host[low].assigned <= host[middle].assigned);
    CHECK(host[middle].assigned <= host[high].assigned);
    CHECK(host[low].assigned < host[high].assigned);
}

TEST_CASE("when not even demand can be met nobody is below minimum", "[dm][simulation]") {
    Simulator host{1800, 10};
    std::vector<usize> all;
    for (u32 i = 0; i < 3; ++i) {
        all.push_back(host.start({.minimum_mib = 400,
                                  .startup_mib = 600,
                                  .priority = 100 * i,
                                  .load = steady(mib(2000)),
                                  .resident_percent = 10}));
    }
    host.run(200); // the laws are checked at each step
    CHECK(host[all[2]].assigned > host[all[0]].assigned);
}

TEST_CASE("a starting partition's claim is met from surplus", "[dm][simulation]") {
    Simulator host{2048, 3600};
    usize const a = host.start({.startup_mib = 1024, .load = steady(mib(100))});
    usize const b = host.start({.startup_mib = 1024, .load = steady(mib(100))});
    host.run(30);
    usize const late = host.start({.startup_mib = 768});
    CHECK_FALSE(host[late].running);
    host.run(10);
    CHECK(host[late].running);
    CHECK(status(host[a].view()) == MemoryStatus::Ok);
    CHECK(status(host[b].view()) == MemoryStatus::Ok);
}

TEST_CASE("a claim beyond all surplus is met by priority, down to the minimums", "[dm][simulation]") {
    Simulator host{2048, 3600};
    usize const low = host.start({.startup_mib = 1024, .priority = 1000, .load = steady(mib(300))});
    usize const high = host.start({.startup_mib = 1024, .priority = 9000, .load = steady(mib(300))});
    host.run(30);
    // Each wants about 600 MiB: 850 are surplus.
    usize const late = host.start({.startup_mib = 900});
    host.run(2);
    CHECK(host[late].running);
    CHECK(host[low].assigned < host[high].assigned);
    CHECK(status(host[low].view()) == MemoryStatus::Low);
}

TEST_CASE("a claim that can never be met is known beforehand", "[dm][simulation]") {
    Simulator host{2048, 3600};
    host.start({.minimum_mib = 900, .startup_mib = 1024});
    host.start({.minimum_mib = 900, .startup_mib = 1024});
    host.run(30);
    usize const late = host.start({.startup_mib = 512});
    std::vector<PartitionView> const views{host[0].view(), host[1].view()};
    CHECK(host.free() + reclaimable_pages(views) < mib(512));
    host.run(120);
    CHECK_FALSE(host[late].running);
}

TEST_CASE("a guest without the driver stays at startup and is left alone", "[dm][simulation]") {
    Simulator host{2048, 5};
    usize const plain = host.start({.startup_mib = 1024, .driver = false});
    usize const hungry = host.start({.load = steady(mib(1500))});
    host.run(120);
    CHECK(host[plain].assigned == mib(1024));
    CHECK(host[plain].orders == 0);
    CHECK(status(host[plain].view()) == MemoryStatus::NotReported);
    CHECK(host[hungry].assigned == mib(1024));
}

TEST_CASE("a guest that stops answering is planned around and taken up again", "[dm][simulation]") {
    Simulator host{3072, 3600};
    auto const silent = [](u64 s) { return s >= 20 && s < 80; };
    usize const mute =
        host.start({.startup_mib = 1536, .priority = 100, .load = steady(mib(100)), .silent = silent});
    usize const rich = host.start({.startup_mib = 1024, .priority = 200, .load = steady(mib(100))});
    usize const hungry = host.start({.load = burst(100, 600, 30, 1000)});
    host.run(60); // asked at 31, silent: the other one must give
    CHECK(host[mute].assigned == mib(1536));
    CHECK(status(host[hungry].view()) == MemoryStatus::Ok);
    CHECK(host[rich].assigned < mib(1024));
    host[hungry].setup.load = steady(mib(1000));
    host.run(60);
    CHECK(host[mute].assigned < mib(1536));
}

TEST_CASE("a guest that has less to give than its numbers say is planned around", "[dm][simulation]") {
    Simulator host{3072, 3600};
    usize const full =
        host.start({.startup_mib = 1536, .priority = 100, .load = steady(mib(100)), .hidden_mib = 1200});
    usize const rich = host.start({.startup_mib = 1024, .priority = 200, .load = steady(mib(100))});
    usize const hungry = host.start({.load = burst(100, 600, 30, 1000)});
    host.run(80);
    CHECK(host[full].assigned > mib(1400));
    CHECK(host[full].balloon_orders <= 8); // asked now and then, not each second
    CHECK(status(host[hungry].view()) == MemoryStatus::Ok);
    CHECK(host[rich].assigned < mib(1024));
}

TEST_CASE("a guest that refuses hot add keeps what it has and asks nothing of others", "[dm][simulation]") {
    Simulator host{2048, 3600};
    usize const rich = host.start({.startup_mib = 1024, .priority = 100, .load = steady(mib(100))});
    usize const stuck = host.start({.load = steady(mib(900)), .takes_hot_add = false});
    host.run(30);
    CHECK(host[stuck].assigned == mib(512));
    CHECK(host[stuck].last_order.reason == Reason::CannotGrow);
    host.mark();
    host.run(100);
    CHECK(host[rich].orders == 0);
    CHECK(host[stuck].orders == 0);
}

TEST_CASE("a restart begins again at startup, with memory from the others if need be", "[dm][simulation]") {
    Simulator host{1536, 10};
    usize const a = host.start({.startup_mib = 1024, .load = steady(mib(60))});
    usize const b = host.start({.load = burst(100, 500, 40, 10'000), .resident_percent = 40});
    host.run(120);
    CHECK(host[a].assigned < mib(512)); // some of it is with b
    u64 const before = host[b].assigned;
    CHECK(before > mib(800));
    host.restart(a);
    CHECK_FALSE(host[a].running);
    host.run(4);
    CHECK(host[a].running);
    CHECK(host[b].assigned <= mib(512));
    host.run(120);
    CHECK(host[a].assigned < mib(512));
    CHECK(host[b].assigned > mib(800));
}

TEST_CASE("settings that change while running are followed", "[dm][simulation]") {
    Simulator host{8192, 5};
    usize const web = host.start({.minimum_mib = 512, .startup_mib = 1024, .maximum_mib = 1024});
    host.run(120);
    CHECK(host[web].assigned >= mib(512));
    CHECK(host[web].assigned <= mib(512 + 32)); // differences of 1/16 are left alone
    host[web].setup.minimum_mib = 256;
    host.run(120);
    CHECK(host[web].assigned < mib(512));
    host[web].setup.maximum_mib = 4096;
    host[web].setup.load = steady(mib(2500));
    host.run(60);
    CHECK(host[web].assigned > mib(2500));
    u64 const before = host[web].assigned;
    host[web].setup.buffer_percent = 5;
    host.run(120);
    CHECK(host[web].assigned < before);
}

TEST_CASE("whatever the guests do, the laws hold", "[dm][simulation][random]") {
    u64 const seed = GENERATE(range(1, 151));
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    auto const upto = [&](u64 n) { return random() % n; };
    Simulator host{2048 + upto(16'384), upto(30), seed};
    usize const count = 1 + upto(20);
    for (usize i = 0; i < count; ++i) {
        u64 const minimum = 32 + upto(512), startup = minimum + upto(1024), maximum = startup + upto(4096);
        u64 const base = upto(1500), swing = upto(3000), period = 5 + upto(120), mute = upto(200);
        host.start({.minimum_mib = minimum,
                    .startup_mib = startup,
                    .maximum_mib = maximum,
                    .buffer_percent = static_cast<u32>(5 + upto(upto(4) == 0 ? 1995 : 100)),
                    .priority = static_cast<u32>(upto(10'001)),
                    .load = [=](u64 s) { return mib(base + (s / period % 2) * swing) + s * 97 % 1024; },
                    .driver = upto(10) != 0,
                    .takes_hot_add = upto(8) != 0,
                    .hidden_mib = upto(300),
                    .first_report_second = upto(50),
                    .operation_seconds = 1 + upto(9),
                    .unit_mib = 128ull << upto(3),
                    .silent = [=](u64 s) { return s % 200 >= mute && s % 200 < mute + 10; }});
    }
    for (u32 s = 0; s < 400; ++s) {
        host.tick();
        if (upto(40) == 0) {
            host.restart(upto(count));
        }
        if (upto(100) == 0) {
            host.stop(upto(count));
        }
    }
}
