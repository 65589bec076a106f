// SPDX-License-Identifier: Apache-2.0
// The conversation with an honest driver.
#include "tests/unit/dm/driver_bed.hpp"

using namespace hv;
using namespace hv::dm;
using namespace hv::dm::test;
using State = DmService::State;
using Kind = Operation::Kind;

TEST_CASE("the handshake ends ready, with the maximum told", "[dm][service]") {
    DriverBed bed;
    CHECK(bed.service.state() == State::Closed);
    CHECK(bed.service.liveness(bed.now) == DmService::Liveness::Absent);
    bed.service.opened(bed.sink);
    CHECK(bed.sink.sent.empty()); // the guest speaks first
    bed.version(wire::kVersion2_0);
    CHECK(bed.take<wire::Accepted>(wire::Type::VersionResponse).flags == 1);
    CHECK_FALSE(bed.service.ready());
    bed.capabilities();
    CHECK(bed.take<wire::Accepted>(wire::Type::CapabilitiesResponse).flags == 1);
    auto const info = bed.take<wire::InfoMaxPages>(wire::Type::InfoMessage);
    CHECK(info.info_bytes == 16);
    CHECK(info.item_type == 0);
    CHECK(info.item_bytes == 8);
    CHECK(info.maximum_pages == DriverBed::kMaximum);
    CHECK(bed.service.ready());
    CHECK(bed.service.hot_add_possible());
    CHECK(bed.service.liveness(bed.now) == DmService::Liveness::Active);
}

TEST_CASE("older protocol versions are accepted, unknown ones make the guest fall back", "[dm][service]") {
    DriverBed bed;
    bed.service.opened(bed.sink);
    bed.version(0x0003'0000);
    CHECK(bed.take<wire::Accepted>(wire::Type::VersionResponse).flags == 0);
    CHECK(bed.service.state() == State::Version);
    u32 const version = GENERATE(wire::kVersion1_0, wire::kVersion0_3);
    bed.version(version, version == wire::kVersion0_3);
    CHECK(bed.take<wire::Accepted>(wire::Type::VersionResponse).flags == 1);
    CHECK(bed.service.state() == State::Capabilities);
}

TEST_CASE("the capabilities report says whether and how hot add works", "[dm][service]") {
    DriverBed bed;
    bed.service.opened(bed.sink);
    bed.version(wire::kVersion2_0);
    SECTION("no hot add") {
        bed.capabilities(1);
        CHECK_FALSE(bed.service.hot_add_possible());
        CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
    }
    SECTION("128 MiB, also when it is left out") {
        bed.capabilities(GENERATE(0x1fu, 3u));
        CHECK(bed.service.hot_add_unit_pages() == 128 * kMib);
    }
    SECTION("2 GiB blocks of a large guest") {
        bed.capabilities(3 | 11 << 2);
        CHECK(bed.service.hot_add_unit_pages() == 2048 * kMib);
    }
}

TEST_CASE("demand is what is committed less what we hold ballooned", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    CHECK_FALSE(bed.service.pressure().valid);
    bed.status(500 * kMib, 300 * kMib);
    CHECK(bed.service.pressure().valid);
    CHECK(bed.service.pressure().demand_pages == 500 * kMib);
    CHECK(bed.service.pressure().available_pages == 300 * kMib);
    CHECK(bed.service.pressure().at_100ns == bed.now);
    REQUIRE(bed.start(Kind::Balloon, 512));
    bed.ballooned({DriverBed::range(0x1000, 512)});
    bed.status(500 * kMib + 512);
    CHECK(bed.service.pressure().demand_pages == 500 * kMib);
    bed.status(100);
    CHECK(bed.service.pressure().demand_pages == 0);
    CHECK(bed.service.counters().reports == 3);
}

TEST_CASE("a report in the middle of an operation does not look like demand", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    bed.status(300 * kMib);
    REQUIRE(bed.start(Kind::Balloon, 200 * kMib));
    bed.status(300 * kMib + 150 * kMib); // 150 MiB are out, the answer is not written yet
    CHECK(bed.service.pressure().demand_pages == 300 * kMib);
    bed.status(300 * kMib + 250 * kMib); // but this cannot be the balloon alone
    CHECK(bed.service.pressure().demand_pages == 350 * kMib);
    bed.status(280 * kMib); // less is believed at once
    CHECK(bed.service.pressure().demand_pages == 280 * kMib);
    bed.ballooned({DriverBed::range(0x10000, 200 * kMib)});
    bed.status(300 * kMib + 200 * kMib);
    CHECK(bed.service.pressure().demand_pages == 300 * kMib);
    REQUIRE(bed.start(Kind::GiveBack, 100 * kMib));
    bed.status(300 * kMib + 200 * kMib); // not seen yet
    CHECK(bed.service.pressure().demand_pages == 300 * kMib);
    bed.unballoon_answer();
    bed.status(300 * kMib + 100 * kMib);
    CHECK(bed.service.pressure().demand_pages == 300 * kMib);
    bed.status(350 * kMib + 100 * kMib); // the operation is over: a rise is a rise
    CHECK(bed.service.pressure().demand_pages == 350 * kMib);
}

TEST_CASE("a balloon request is answered in several messages", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1024 + 3));
    CHECK(bed.take<wire::BalloonRequest>(wire::Type::BalloonRequest).pages == 1027);
    CHECK(bed.service.state() == State::Ballooning);
    CHECK_FALSE(bed.start(Kind::Balloon, 1)); // one operation at a time
    bed.ballooned({DriverBed::range(0x2000, 512), DriverBed::range(0x3000, 512)}, true);
    CHECK(bed.memory.ballooned_pages() == 1024);
    CHECK_FALSE(bed.service.ready());
    bed.ballooned({DriverBed::range(0x9, 1), DriverBed::range(0x11, 2)});
    CHECK(bed.service.ready());
    CHECK_FALSE(bed.service.at_floor());
    CHECK(bed.memory.ballooned_pages() == 1027);
    CHECK(bed.memory.free() == 8192 * kMib + 1027);
    CHECK(bed.service.counters().ballooned_pages == 1027);
    CHECK(bed.service.counters().short_answers == 0);
    bed.memory.check();
}

TEST_CASE("a full answer message of 510 ranges is taken", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 510));
    std::vector<u64> ranges;
    for (u64 i = 0; i < 510; ++i) {
        ranges.push_back(DriverBed::range(0x1000 + 2 * i, 1));
    }
    bed.ballooned(ranges);
    CHECK(bed.service.ready());
    CHECK(bed.memory.ballooned_pages() == 510);
}

TEST_CASE("a short answer means the guest is at its floor until it is asked again", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1000));
    bool const empty_end = GENERATE(true, false);
    bed.ballooned({DriverBed::range(0x2000, 512)}, empty_end);
    if (empty_end) {
        bed.ballooned({});
    }
    CHECK(bed.service.ready());
    CHECK(bed.service.at_floor());
    CHECK(bed.service.counters().short_answers == 1);
    REQUIRE(bed.start(Kind::Balloon, 512));
    CHECK_FALSE(bed.service.at_floor());
    bed.ballooned({DriverBed::range(0x3000, 512)});
    CHECK_FALSE(bed.service.at_floor());
}

TEST_CASE("a balloon request is cut to what a guest works off in one go", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1ull << 40));
    CHECK(bed.take<wire::BalloonRequest>(wire::Type::BalloonRequest).pages == 512 * kMib);
}

TEST_CASE("pages come back in batches, each backed before it is told and answered before the next",
          "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 300 * kMib));
    bed.ballooned({DriverBed::range(0x10000, 300 * kMib)});
    bed.sink.sent.clear();
    REQUIRE(bed.start(Kind::GiveBack, 290 * kMib));
    u64 given = 0;
    for (u64 const batch : {128 * kMib, 128 * kMib, 34 * kMib}) {
        CHECK(bed.sink.sent.size() == 1);
        CHECK(total(bed.take_give_back()) == batch);
        given += batch;
        CHECK(bed.memory.ballooned_pages() == 300 * kMib - given);
        CHECK_FALSE(bed.service.ready());
        bed.unballoon_answer();
    }
    CHECK(bed.service.ready());
    CHECK(bed.sink.sent.empty());
    CHECK(bed.service.counters().given_back_pages == 290 * kMib);
    bed.memory.check();
}

TEST_CASE("scattered pages come back in messages that the driver can hold", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1200));
    for (u64 part = 0; part < 3; ++part) {
        std::vector<u64> ranges;
        for (u64 i = 0; i < 400; ++i) {
            ranges.push_back(DriverBed::range(0x1000 + 800 * part + 2 * i, 1));
        }
        bed.ballooned(ranges, part != 2);
    }
    REQUIRE(bed.service.ready());
    bed.sink.sent.clear();
    REQUIRE(bed.start(Kind::GiveBack, 1200));
    CHECK(bed.take_give_back().size() == 510);
    bed.unballoon_answer();
    CHECK(bed.take_give_back().size() == 510);
    bed.unballoon_answer();
    CHECK(bed.take_give_back().size() == 180);
    bed.unballoon_answer();
    CHECK(bed.service.ready());
    CHECK(bed.memory.ballooned_pages() == 0);
}

TEST_CASE("giving back ends where ballooned pages or frames end", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    CHECK_FALSE(bed.start(Kind::GiveBack, 10)); // nothing is ballooned
    REQUIRE(bed.start(Kind::Balloon, 2 * 128 * kMib));
    bed.ballooned({DriverBed::range(0x10000, 128 * kMib), DriverBed::range(0x20000, 128 * kMib)});
    bed.sink.sent.clear();
    SECTION("more is asked than there is") {
        REQUIRE(bed.start(Kind::GiveBack, 1ull << 40));
        bed.take_give_back();
        bed.unballoon_answer();
        bed.take_give_back();
        bed.unballoon_answer();
        CHECK(bed.service.ready());
        CHECK(bed.memory.ballooned_pages() == 0);
    }
    SECTION("the host runs out on the way") {
        bed.memory.set_free(200 * kMib);
        REQUIRE(bed.start(Kind::GiveBack, 256 * kMib));
        CHECK(total(bed.take_give_back()) == 128 * kMib);
        bed.unballoon_answer();
        CHECK(bed.service.ready());
        CHECK(bed.memory.free() == 72 * kMib);
        bed.memory.check();
    }
    SECTION("the host has none at all") {
        bed.memory.set_free(0);
        bed.start(Kind::GiveBack, 256 * kMib);
        CHECK(bed.service.ready());
        CHECK(bed.sink.sent.empty());
    }
}

TEST_CASE("a full ring holds giving back up, and nothing is lost", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 200 * kMib));
    bed.ballooned({DriverBed::range(0x10000, 200 * kMib)});
    bed.sink.sent.clear();
    bed.sink.room = 0;
    REQUIRE(bed.start(Kind::GiveBack, 200 * kMib));
    CHECK(bed.memory.ballooned_pages() == 200 * kMib); // not backed while the guest does not know
    CHECK(bed.service.state() == State::GivingBack);
    CHECK(bed.service.counters().given_back_pages == 0);
    bed.service.writable(); // still full
    CHECK(bed.memory.ballooned_pages() == 200 * kMib);
    bed.sink.room = 1;
    bed.service.writable();
    CHECK(total(bed.take_give_back()) == 128 * kMib);
    bed.service.writable(); // means nothing while an answer is awaited
    CHECK(bed.sink.sent.empty());
    bed.unballoon_answer();
    CHECK(total(bed.take_give_back()) == 72 * kMib);
    bed.unballoon_answer();
    CHECK(bed.service.ready());
    CHECK(bed.service.counters().given_back_pages == 200 * kMib);
    bed.memory.check();
}

TEST_CASE("a full ring refuses a balloon request or a hot add, and the next try works", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    Kind const kind = GENERATE(Kind::Balloon, Kind::HotAdd);
    bed.sink.room = 0;
    CHECK_FALSE(bed.start(kind, 128 * kMib));
    CHECK(bed.service.ready());
    CHECK(bed.memory.hot_add_left_pages() == DriverBed::kHot);
    bed.memory.check();
    bed.sink.room = 1;
    CHECK(bed.start(kind, 128 * kMib));
    CHECK(bed.sink.sent.size() == 1);
}

TEST_CASE("hot add announces a region, is backed before it is told, and counts what the guest took",
          "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 256 * kMib));
    Bytes bytes;
    auto const request = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest, &bytes);
    CHECK(bytes.size() == 24);
    CHECK(request.range == DriverBed::range(DriverBed::kHotBase, 256 * kMib));
    CHECK(request.region == request.range);
    CHECK(bed.memory.assigned_pages() == DriverBed::kStartup - 0x20 + 256 * kMib);
    CHECK_FALSE(bed.service.ready());
    bed.hot_add_answer(256 * kMib, 1);
    CHECK(bed.service.ready());
    CHECK(bed.service.hot_add_possible());
    CHECK(bed.service.counters().hot_added_pages == 256 * kMib);
    bed.memory.check();
}

TEST_CASE("a region is filled up in the short form before a new one is announced", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 40 * kMib));
    auto const first = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest);
    CHECK(first.range == DriverBed::range(DriverBed::kHotBase, 40 * kMib));
    CHECK(first.region == DriverBed::range(DriverBed::kHotBase, 128 * kMib));
    bed.hot_add_answer(40 * kMib, 1);

    REQUIRE(bed.start(Kind::HotAdd, 200 * kMib)); // up to the region's end
    Bytes bytes;
    auto const second = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest, &bytes);
    CHECK(bytes.size() == 16);
    CHECK(second.range == DriverBed::range(DriverBed::kHotBase + 40 * kMib, 88 * kMib));
    bed.hot_add_answer(88 * kMib, 1);

    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    auto const third = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest, &bytes);
    CHECK(bytes.size() == 24);
    CHECK(third.region == DriverBed::range(DriverBed::kHotBase + 128 * kMib, 128 * kMib));
}

TEST_CASE("hot add never passes the maximum", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    u64 added = 0;
    for (u32 i = 0; i < 100 && bed.start(Kind::HotAdd, 700 * kMib + 5); ++i) {
        auto const request = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest);
        u64 const pages = wire::RangePages::get(request.range);
        CHECK(wire::RangeStart::get(request.range) == DriverBed::kHotBase + added);
        CHECK(pages <= 512 * kMib); // the guest waits for each 128 MiB that nobody brings online
        added += pages;
        bed.hot_add_answer(static_cast<u32>(pages), 1);
    }
    CHECK(added == DriverBed::kHot);
    CHECK(bed.memory.hot_add_left_pages() == 0);
    bed.memory.check();
}

TEST_CASE("a part of a hot add is kept, the rest goes back, and no more is offered", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 384 * kMib));
    bed.hot_add_answer(128 * kMib, 1);
    CHECK(bed.service.ready());
    CHECK(bed.memory.hot_add_left_pages() == DriverBed::kHot - 128 * kMib);
    CHECK_FALSE(bed.service.hot_add_possible());
    CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
    CHECK(bed.service.counters().short_answers == 1);
    bed.memory.check();
}

TEST_CASE("a hot add refused for now is offered again at the same place", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    bed.sink.sent.clear();
    bed.hot_add_answer(0, 0);
    CHECK(bed.memory.hot_add_left_pages() == DriverBed::kHot);
    CHECK(bed.service.hot_add_possible());
    bed.memory.check();
    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    auto const again = bed.take<wire::HotAddRequest>(wire::Type::HotAddRequest);
    CHECK(again.range == DriverBed::range(DriverBed::kHotBase, 128 * kMib));
    bed.hot_add_answer(128 * kMib, 1);
    CHECK(bed.service.counters().hot_added_pages == 128 * kMib);
}

TEST_CASE("a hot add refused for good is never offered again", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    bed.hot_add_answer(0, 1);
    CHECK_FALSE(bed.service.hot_add_possible());
    CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
    CHECK(bed.start(Kind::Balloon, 512)); // the rest works on
    bed.memory.check();
}

TEST_CASE("a hot add that the host cannot back is not announced", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    bed.memory.set_free(100);
    CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
    CHECK(bed.service.ready());
    CHECK(bed.sink.sent.empty());
}

TEST_CASE("operations of no pages, or before the handshake, do not start", "[dm][service]") {
    DriverBed bed;
    CHECK_FALSE(bed.start(Kind::Balloon, 512));
    bed.service.opened(bed.sink);
    CHECK_FALSE(bed.start(Kind::Balloon, 512));
    bed.version(wire::kVersion2_0);
    CHECK_FALSE(bed.start(Kind::HotAdd, 512));
    bed.capabilities();
    CHECK_FALSE(bed.start(Kind::Balloon, 0));
    CHECK_FALSE(bed.start(Kind::None, 512));
    CHECK(bed.start(Kind::Balloon, 512));
}

TEST_CASE("a driver that does not answer is inactive after 5 s and uncooperative after 20 s",
          "[dm][service]") {
    DriverBed bed;
    bed.ready();
    using Liveness = DmService::Liveness;
    bed.pass(1000);
    CHECK(bed.service.liveness(bed.now) == Liveness::Active); // nobody asked it anything
    REQUIRE(bed.start(Kind::Balloon, 2048));
    bed.pass(4);
    CHECK(bed.service.liveness(bed.now) == Liveness::Active);
    bed.pass(1);
    CHECK(bed.service.liveness(bed.now) == Liveness::Inactive);
    bed.pass(14);
    CHECK(bed.service.liveness(bed.now) == Liveness::Inactive);
    bed.ballooned({DriverBed::range(0x1000, 512)}, true); // slow, but it does something
    CHECK(bed.service.liveness(bed.now) == Liveness::Active);
    bed.pass(20);
    CHECK(bed.service.liveness(bed.now) == Liveness::Uncooperative);
    bed.ballooned({}, true); // words without pages
    CHECK(bed.service.liveness(bed.now) == Liveness::Uncooperative);
    bed.ballooned({DriverBed::range(0x2000, 1536)});
    CHECK(bed.service.liveness(bed.now) == Liveness::Active);
}

TEST_CASE("closing forgets the guest, not its balloon", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    bed.status(5000);
    REQUIRE(bed.start(Kind::Balloon, 512));
    bed.ballooned({DriverBed::range(0x1000, 512)});
    REQUIRE(bed.start(Kind::Balloon, 512));
    bed.service.closed();
    CHECK(bed.service.state() == State::Closed);
    CHECK_FALSE(bed.service.pressure().valid);
    CHECK(bed.memory.ballooned_pages() == 512);
    bed.ballooned({DriverBed::range(0x2000, 512)}); // a late packet takes nothing
    CHECK(bed.memory.ballooned_pages() == 512);
}

TEST_CASE("after a reload the balancer orders what the new driver can do", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1024));
    bed.ballooned({DriverBed::range(0x1000, 1024)});
    bed.service.closed();
    CHECK_FALSE(bed.service.view(bed.now).can_act);
    bed.ready();
    bed.status(DriverBed::kStartup + 4096);
    PartitionView view = bed.service.view(bed.now);
    view.minimum = 256 * kMib;
    view.maximum = DriverBed::kMaximum;
    CHECK(view.assigned == bed.memory.assigned_pages());
    CHECK(view.demand == DriverBed::kStartup + 4096);
    CHECK((view.reporting && view.can_act && view.cooperative));
    CHECK(view.ballooned == 0); // the old driver's are out of reach
    CHECK(view.hot_addable == DriverBed::kHot);
    PartitionMemory memory;
    Order order;
    balance({.free = 4096 * kMib}, {&view, 1}, {&memory, 1}, {&order, 1});
    REQUIRE(order.kind == Order::Kind::HotAdd);
    CHECK(bed.start(Kind::HotAdd, order.pages));
    CHECK_FALSE(bed.service.view(bed.now).can_act);
}

TEST_CASE("a driver is not asked to begin a region off its unit's edge", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    SECTION("a reloaded one does not know the region that is half filled") {
        REQUIRE(bed.start(Kind::HotAdd, 40 * kMib));
        bed.hot_add_answer(40 * kMib, 1);
        CHECK(bed.service.view(bed.now).hot_addable == DriverBed::kHot - 40 * kMib);
        bed.service.closed();
        bed.ready();
        CHECK(bed.service.view(bed.now).hot_addable == 0);
        CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
        CHECK(bed.sink.sent.empty());
    }
    SECTION("a whole unit is no obstacle") {
        REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
        bed.hot_add_answer(128 * kMib, 1);
        bed.service.closed();
        bed.ready();
        CHECK(bed.start(Kind::HotAdd, 128 * kMib));
    }
    SECTION("its unit is larger than the window's alignment") {
        bed.service.closed();
        bed.service.opened(bed.sink);
        bed.version(wire::kVersion2_0);
        bed.capabilities(3 | 12 << 2); // 4 GiB; the window begins at 2
        CHECK(bed.service.view(bed.now).hot_addable == 0);
        CHECK_FALSE(bed.start(Kind::HotAdd, 128 * kMib));
    }
    bed.memory.check();
}

TEST_CASE("a reloaded driver starts with an empty balloon", "[dm][service]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 1024));
    bed.ballooned({DriverBed::range(0x1000, 1024)});
    bed.service.closed();
    bed.ready();
    bed.status(5000); // counts none of the old pages
    CHECK(bed.service.pressure().demand_pages == 5000);
    CHECK(bed.service.returnable_pages() == 0);
    CHECK_FALSE(bed.start(Kind::GiveBack, 512)); // it would count below zero
    REQUIRE(bed.start(Kind::Balloon, 512));
    bed.ballooned({DriverBed::range(0x4000, 512)});
    bed.sink.sent.clear();
    CHECK(bed.service.returnable_pages() == 512);
    REQUIRE(bed.start(Kind::GiveBack, 4096));
    CHECK(total(bed.take_give_back()) == 512);
    bed.unballoon_answer();
    CHECK(bed.service.ready());
    bed.memory.check();
}
