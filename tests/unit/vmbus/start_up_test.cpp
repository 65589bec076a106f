// SPDX-License-Identifier: Apache-2.0
// The life of a channel as stock Linux drives it, from SynIC set-up to unload.
#include "tests/unit/vmbus/bus_fixture.hpp"

using namespace hv;
using namespace hv::test;
using vmbus::MessageType;
using vmbus::version;

TEST_CASE("a Linux guest connects, opens, talks, closes and unloads", "[vmbus]") {
    Bus bus;
    EchoDevice device, second{2};
    device.echo = true;
    REQUIRE(bus.server.add(device));
    REQUIRE(bus.server.add(second));
    LinuxGuest& guest = bus.guest;

    bus.start_guest();
    REQUIRE(guest.ok);
    auto const response = guest.initiate_contact(version(5, 3));
    REQUIRE(response.has_value());
    CHECK(response->supported == 1);
    CHECK(response->connection_state == 0);
    CHECK(response->message_connection != 0);
    CHECK(bus.server.negotiated_version() == version(5, 3));

    auto const offers = guest.request_offers();
    REQUIRE(guest.ok);
    REQUIRE(offers.size() == 2);
    CHECK(offers[0].interface_type == device.offer().type);
    CHECK(offers[0].instance == device.offer().instance);
    CHECK(offers[0].monitor_allocated == 0);
    CHECK(offers[0].dedicated_interrupt == 1);
    CHECK(offers[0].relid != 0);
    CHECK(offers[0].relid != offers[1].relid);
    CHECK(offers[0].connection_id != offers[1].connection_id);

    GuestChannel* const channel = guest.open(offers[0], 5);
    REQUIRE(channel != nullptr);
    CHECK(device.opens == 1);
    CHECK(second.opens == 0);
    CHECK(bus.server.is_open(device));

    for (u64 i = 0; i < 100; ++i) {
        Bytes const text = pattern(16 + 8 * (i % 40), static_cast<u8>(i));
        REQUIRE(guest.send(*channel, text, i));
        REQUIRE(device.packets.size() == i + 1);
        CHECK(device.packets[i].payload == text);
        guest.take_interrupts();
        REQUIRE(channel->received.size() == i + 1);
        CHECK(channel->received[i].payload == text);
        CHECK(channel->received[i].transaction_id == i);
        CHECK(channel->received[i].type == 6);
        CHECK(channel->received[i].trailer == u64{channel->received[i].start} << 32);
    }

    u32 const relid = channel->relid;
    REQUIRE(guest.close(*channel));
    CHECK(device.closes == 1);
    CHECK(bus.server.gpadls().used_pages() == 0);
    CHECK(guest.channels.count(relid) == 0);
    REQUIRE(guest.unload());
    CHECK(bus.server.negotiated_version() == 0);
    CHECK(guest.ok);
    CHECK(bus.server.counters().channels_broken == 0);
    CHECK(bus.server.counters().messages_malformed == 0);
    CHECK(bus.server.counters().messages_unexpected == 0);
}

TEST_CASE("each version Linux may ask for is answered", "[vmbus]") {
    struct Case {
        u32 version;
        bool supported;
    };
    auto const [v, supported] =
        GENERATE(Case{version(6, 0), false}, Case{version(5, 4), false}, Case{version(5, 3), true},
                 Case{version(5, 0), true}, Case{version(4, 1), true}, Case{version(4, 0), true},
                 Case{version(3, 0), true}, Case{version(2, 4), true}, Case{version(1, 1), false});
    Bus bus;
    bus.start_guest();
    auto const response = bus.guest.initiate_contact(v);
    REQUIRE(response.has_value());
    CHECK(response->supported == (supported ? 1 : 0));
    CHECK(bus.server.negotiated_version() == (supported ? v : 0));
    CHECK(bus.server.counters().versions_refused == (supported ? 0 : 1));
    if (supported) CHECK(bus.guest.request_offers().empty());
    CHECK(bus.guest.ok);
}

TEST_CASE("messages go to the processor the guest names", "[vmbus]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    bus.start_guest();
    CHECK(bus.guest.initiate_contact(version(5, 3), 1).has_value());
    CHECK(bus.interrupts.raised.empty());
    bus.guest.post_struct(vmbus::MessageHeader{MessageType::RequestOffers});
    CHECK(bus.interrupts.take(0, LinuxGuest::kVmbusVector) == 0);
    CHECK(bus.interrupts.take(1, LinuxGuest::kVmbusVector) == 1);
}

TEST_CASE("a target processor that does not exist is refused, and answered", "[vmbus]") {
    Bus bus;
    bus.start_guest();
    auto const response = bus.guest.initiate_contact(version(5, 3), 2);
    REQUIRE(response.has_value());
    CHECK(response->supported == 0);
}

TEST_CASE("a second InitiateContact starts from nothing", "[vmbus]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    bus.open_first();
    auto const response = bus.guest.initiate_contact(version(5, 2));
    REQUIRE(response.has_value());
    CHECK(response->supported == 1);
    CHECK(device.closes == 1);
    CHECK(bus.server.gpadls().used_pages() == 0);
    auto const offers = bus.guest.request_offers();
    REQUIRE(offers.size() == 1);
    CHECK(bus.guest.open(offers[0], 4) != nullptr);
    CHECK(device.opens == 2);
}

TEST_CASE("answers to a driver that is gone are dropped", "[vmbus]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    bus.start_guest();
    bus.guest.initiate_contact(version(5, 3));
    // The old kernel dies with its offers still waiting.
    bus.guest.post_struct(vmbus::MessageHeader{MessageType::RequestOffers});
    CHECK(bus.hv.message_room() < hyperv::MessagePool::kMessages);
    bus.interrupts.raised.clear();
    bus.guest.enable_synic(0);
    std::memset(bus.ram.raw(Gpa::from_pfn(LinuxGuest::simp(0))), 0, kPageBytes); // its fresh page
    REQUIRE(bus.guest.initiate_contact(version(5, 3)).has_value());
    CHECK(bus.guest.other_messages.empty());
    CHECK(bus.hv.message_room() == hyperv::MessagePool::kMessages);
}

TEST_CASE("a partition reset closes devices and forgets the guest", "[vmbus]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    bus.open_first();
    bus.server.reset();
    bus.hv.reset();
    CHECK(device.closes == 1);
    CHECK(bus.server.negotiated_version() == 0);
    CHECK(bus.server.gpadls().used_pages() == 0);
    CHECK_FALSE(bus.hv.hypercalls_enabled());
    bus.guest.forget();
    bus.open_first();
    CHECK(device.opens == 2);
}

TEST_CASE("a module reload closes and opens the same channel again", "[vmbus]") {
    Bus bus;
    EchoDevice device;
    bus.server.add(device);
    GuestChannel& channel = bus.open_first();
    bus.guest.close_only(channel);
    CHECK(device.closes == 1);
    channel.to_host.zero();
    channel.to_guest.zero();
    CHECK(bus.guest.reopen(channel) == 0u);
    CHECK(device.opens == 2);
    CHECK(bus.guest.send(channel, pattern(8)));
    CHECK(device.packets.size() == 1);
}

TEST_CASE("sixteen devices are offered although a slot holds one message", "[vmbus]") {
    Bus bus;
    std::deque<EchoDevice> devices;
    for (u8 i = 0; i < 16; ++i) {
        REQUIRE(bus.server.add(devices.emplace_back(i)));
    }
    EchoDevice one_too_many{99};
    CHECK_FALSE(bus.server.add(one_too_many));
    bus.start_guest();
    bus.guest.initiate_contact(version(5, 3));
    CHECK(bus.guest.request_offers().size() == 16);
    CHECK(bus.guest.ok);
}
