// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/image_store.hpp"
#include "hv/partition/mailbox.hpp"
#include <catch2/catch.hpp>
#include <thread>

using namespace hv;
using namespace hv::partition;
using mgmt::Request;

TEST_CASE("requests are taken once, the end before the beginning", "[mailbox]") {
    Mailbox box;
    CHECK_FALSE(box.has_requests());
    CHECK_FALSE(box.take_request());
    box.post(Request::Start);
    box.post(Request::TurnOff);
    box.post(Request::Start);
    CHECK(box.has_requests());
    CHECK(box.take_request() == Request::TurnOff);
    CHECK(box.take_request() == Request::Start);
    CHECK_FALSE(box.take_request());
    CHECK_FALSE(box.has_requests());
}

TEST_CASE("every kind of request arrives", "[mailbox]") {
    Mailbox box;
    for (Request r : {Request::Start, Request::Shutdown, Request::TurnOff, Request::Restart}) {
        box.post(r);
        CHECK(box.take_request() == r);
    }
}

TEST_CASE("the latest order counts, once", "[mailbox]") {
    Mailbox box;
    CHECK_FALSE(box.take_order());
    box.post({dm::Order::Kind::Balloon, dm::Reason::Idle, 512});
    box.post({dm::Order::Kind::GiveBack, dm::Reason::BelowDemand, 1024});
    CHECK(box.has_order());
    auto const order = box.take_order();
    REQUIRE(order);
    CHECK(order->kind == dm::Order::Kind::GiveBack);
    CHECK(order->pages == 1024);
    CHECK_FALSE(box.has_order());
    CHECK_FALSE(box.take_order());
}

TEST_CASE("a snapshot is read whole while it is being replaced", "[mailbox]") {
    Mailbox box;
    std::thread writer{[&] {
        for (u64 i = 1; i <= 20'000; ++i) {
            Snapshot s;
            s.hot_added = s.large_percent = s.restarts = s.memory.assigned = i;
            box.publish(s);
        }
    }};
    u64 last = 0;
    while (last < 20'000) {
        Snapshot const s = box.snapshot();
        REQUIRE(s.hot_added == s.restarts);
        REQUIRE(s.hot_added == s.memory.assigned);
        REQUIRE(s.hot_added >= last);
        last = s.hot_added;
    }
    writer.join();
}

TEST_CASE("images are found by their whole name", "[image-store]") {
    u8 const one[] = {1}, two[] = {2, 2};
    NamedImage const images[] = {{"/images/vmlinuz", one}, {"/images/vmlinuz2", two}};
    ImageStore const store{images};
    CHECK(store.find("/images/vmlinuz").size() == 1);
    CHECK(store.find("/images/vmlinuz2").size() == 2);
    CHECK(store.find("/images/vmlin").empty());
    CHECK(store.find("").empty());
}
