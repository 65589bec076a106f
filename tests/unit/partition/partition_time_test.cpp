// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/partition_time.hpp"
#include "tests/fakes/manual_host.hpp"
#include <catch2/catch.hpp>
#include <random>

using namespace hv;
using partition::PartitionTime;

TEST_CASE("reference time counts 100 ns from the start of the partition", "[partition-time]") {
    test::ManualHost host;
    host.hz = GENERATE(100'000'000ull, 999'999'937ull, 2'000'000'000ull, 3'792'747'000ull, 16'000'000'000ull);
    CAPTURE(host.hz);
    PartitionTime time{host};
    CHECK(time.reference_time() == 0);
    CHECK(time.guest_tsc() == 0);
    for (u64 seconds : {1ull, 60ull, 86'400ull, 365ull * 86'400}) {
        host.tsc = 5'000'000'000 + seconds * host.hz;
        u64 const exact = seconds * 10'000'000;
        CHECK(time.reference_time() <= exact);
        CHECK(time.reference_time() + 2 >= exact);
    }
}

TEST_CASE("reference time never goes back and is never early", "[partition-time]") {
    test::ManualHost host;
    host.hz = 2'893'300'000;
    PartitionTime time{host};
    std::mt19937_64 random{3};
    u64 last = 0;
    for (u32 i = 0; i < 10'000; ++i) {
        host.tsc += random() % 5000;
        u64 const now = time.reference_time();
        REQUIRE(now >= last);
        u64 const ticks = host.tsc - 5'000'000'000;
        REQUIRE(static_cast<unsigned __int128>(now) * host.hz <=
                static_cast<unsigned __int128>(ticks) * 10'000'000);
        last = now;
    }
}

TEST_CASE("a deadline has come by the host's TSC that is armed for it, and not much later",
          "[partition-time]") {
    test::ManualHost host;
    host.hz = GENERATE(100'000'000ull, 999'999'937ull, 2'000'000'000ull, 3'792'747'000ull);
    CAPTURE(host.hz);
    PartitionTime time{host};
    std::mt19937_64 random{4};
    for (u32 i = 0; i < 10'000; ++i) {
        u64 const deadline = random() >> (12 + random() % 40);
        u64 const armed = time.host_tsc_at(deadline);
        REQUIRE(time.reference_at(armed) >= deadline);
        // At most 4 ppb of drift and a few ticks late.
        u64 const late = time.reference_at(armed) - deadline;
        REQUIRE(late <= 1 + deadline / 100'000'000);
    }
}

TEST_CASE("deadlines beyond any that a guest can mean are never", "[partition-time]") {
    test::ManualHost host;
    PartitionTime const time{host};
    CHECK(time.host_tsc_at(kNever) == kNever);
    CHECK(time.host_tsc_at((1ull << 52) + 1) == kNever);
    CHECK(time.host_tsc_at(1ull << 52) != kNever);
}

TEST_CASE("a guest's TSC is its own; reference time does not care", "[partition-time]") {
    test::ManualHost host;
    PartitionTime time{host};
    host.tsc += host.hz;
    time.set_guest_offset(1'000'000 - host.tsc); // it wrote one million
    CHECK(time.guest_tsc() == 1'000'000);
    CHECK(time.guest_offset() == 1'000'000 - host.tsc);
    host.tsc += 5;
    CHECK(time.guest_tsc() == 1'000'005);
    CHECK(time.reference_time() == 10'000'000);
    CHECK(time.tsc_hz() == host.hz);
    CHECK(time.wall_clock() == host.wall);
}

TEST_CASE("a restart sets both clocks to zero", "[partition-time]") {
    test::ManualHost host;
    PartitionTime time{host};
    time.set_guest_offset(77);
    host.tsc += 12'345'678'901;
    time.restart();
    CHECK(time.reference_time() == 0);
    CHECK(time.guest_tsc() == 0);
}

TEST_CASE("a guest's deadline is the host's as far as the host's clock goes", "[partition-time]") {
    using partition::host_deadline;
    CHECK(host_deadline(1500, 1000, 90'000) == 90'500);
    CHECK(host_deadline(1000, 1000, 90'000) == 90'000);
    CHECK(host_deadline(5, 1ull << 63, 90'000) == 90'000);
    CHECK(host_deadline((1ull << 63) + 7, 1ull << 63, 90'000) == 90'007); // a guest that wrote its TSC
    CHECK(host_deadline(~0ull - 5, 1000, 90'000) == kNever);              // not 89'000 odd, long past
    CHECK(host_deadline(kNever, 1000, 90'000) == kNever);
    CHECK(host_deadline(kNever, 90'000, 1000) > 1ull << 63);
}
