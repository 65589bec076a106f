// SPDX-License-Identifier: Apache-2.0
// What `why NAME` can tell.
#include "hv/dm/journal.hpp"
#include <catch2/catch.hpp>
#include <string>

using namespace hv;
using namespace hv::dm;

namespace {
constexpr u64 kMib = MiB / kPageBytes;

std::string line(JournalEntry const& entry) {
    char space[200];
    TextBuffer text{space};
    print(text, entry);
    return std::string{text.text()};
}
Order const kHold{Order::Kind::Hold, Reason::Satisfied, 0};
PartitionView const kView{.assigned = 512 * kMib, .demand = 180 * kMib};
} // namespace

TEST_CASE("an order is told with its inputs and reason", "[dm][journal]") {
    Journal journal;
    CHECK(journal.size() == 0);
    journal.record(12, {Order::Kind::Balloon, Reason::Idle, 64 * kMib}, kView, 216 * kMib, 1024 * kMib);
    REQUIRE(journal.size() == 1);
    CHECK(line(journal.entry(0)) == "12 s: balloon 64 MiB, because it has not wanted this memory for long; "
                                    "assigned 512, demand 180, wanted 216, host free 1024 MiB");
}

TEST_CASE("every kind and every reason has words of its own", "[dm][journal]") {
    for (u8 reason = 0; reason <= static_cast<u8>(Reason::AtFloor); ++reason) {
        CHECK(std::string{text(static_cast<Reason>(reason))} != "?");
        for (u8 other = 0; other < reason; ++other) {
            CHECK(std::string{text(static_cast<Reason>(reason))} != text(static_cast<Reason>(other)));
        }
    }
    using Kind = Order::Kind;
    CHECK(line({.order = {Kind::GiveBack, Reason::BelowDemand, 4 * kMib}}).find("give back 4 MiB") == 5);
    CHECK(line({.order = {Kind::HotAdd, Reason::BelowWanted, 128 * kMib}}).find("hot-add 128 MiB") == 5);
    CHECK(line({.order = kHold}).find("left alone, because it has what it wants") == 5);
    for (MemoryStatus status :
         {MemoryStatus::NotReported, MemoryStatus::Ok, MemoryStatus::Low, MemoryStatus::Warning}) {
        CHECK(std::string{text(status)} != "?");
    }
}

TEST_CASE("being left alone again for the same reason only counts", "[dm][journal]") {
    Journal journal;
    for (u64 second = 5; second < 15; ++second) {
        journal.record(second, kHold, kView, 0, 0);
    }
    REQUIRE(journal.size() == 1);
    CHECK(journal.entry(0).at_seconds == 5);
    CHECK(line(journal.entry(0)).find("5 s: left alone for 10 s, because") == 0);
    journal.record(15, {Order::Kind::Hold, Reason::NoFreeMemory, 0}, kView, 0, 0);
    journal.record(16, kHold, kView, 0, 0);
    CHECK(journal.size() == 3);
}

TEST_CASE("the same order twice is two entries", "[dm][journal]") {
    Journal journal;
    Order const order{Order::Kind::GiveBack, Reason::BelowDemand, 512};
    journal.record(1, order, kView, 0, 0);
    journal.record(2, order, kView, 0, 0);
    CHECK(journal.size() == 2);
}

TEST_CASE("the last 32 entries are kept, newest first", "[dm][journal]") {
    Journal journal;
    for (u64 i = 0; i < 100; ++i) {
        journal.record(i, {Order::Kind::GiveBack, Reason::BelowDemand, i}, kView, 0, 0);
    }
    REQUIRE(journal.size() == Journal::kEntries);
    for (u32 back = 0; back < Journal::kEntries; ++back) {
        CHECK(journal.entry(back).at_seconds == 99 - back);
    }
    journal.clear();
    CHECK(journal.size() == 0);
}
