// SPDX-License-Identifier: Apache-2.0
// Guests that lie: each loses its channel, its answer or its try, and the bus goes on.
#include "hv/vmbus/heartbeat.hpp"
#include "tests/unit/vmbus/bus_fixture.hpp"

using namespace hv;
using namespace hv::test;
using vmbus::MessageType;
using vmbus::RelidMessage;
using vmbus::version;

namespace {
struct HostileBus : Bus {
    EchoDevice device, neighbour{2};
    HostileBus() {
        server.add(device);
        server.add(neighbour);
    }
    std::vector<vmbus::OfferChannel> connect() {
        start_guest();
        REQUIRE(guest.initiate_contact(version(5, 3)).has_value());
        return guest.request_offers();
    }
    bool neighbour_works(std::vector<vmbus::OfferChannel> const& offers) {
        GuestChannel* const channel = guest.open(offers[1], 4);
        return channel != nullptr && guest.send(*channel, pattern(8)) && neighbour.packets.size() == 1;
    }
};
} // namespace

TEST_CASE("a lying ring closes its channel only, and can be opened anew", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    REQUIRE(channel != nullptr);
    SECTION("found while reading") {
        channel->to_host.write_index() = 0xffff'fff8;
        CHECK(bus.guest.signal(channel->connection) == 0);
    }
    SECTION("found while sending") {
        channel->to_guest.read_index() = 3;
        CHECK(bus.device.sink->send_inband(pattern(8), 0) == vmbus::SendStatus::Corrupt);
        CHECK(bus.device.closes == 0); // never while the device is on the stack
        CHECK(bus.device.sink->send_inband(pattern(8), 0) == vmbus::SendStatus::Corrupt);
        bus.server.tick(1);
    }
    SECTION("found while answering") {
        bus.device.echo = true;
        channel->to_guest.read_index() = 3;
        bus.guest.send(*channel, pattern(8));
        CHECK(bus.device.last_send == vmbus::SendStatus::Corrupt);
    }
    SECTION("the device does not believe a packet") {
        bus.device.on_received = [&] {
            bus.device.sink->break_channel();
            CHECK(bus.device.sink->send_inband(pattern(8), 0) == vmbus::SendStatus::Corrupt);
        };
        bus.guest.send(*channel, pattern(8));
        CHECK(bus.device.packets.size() == 1);
    }
    SECTION("its page ballooned by the packet's own handler") {
        bus.device.on_received = [&] { bus.ram.balloon(channel->pfns[0]); };
        bus.guest.send(*channel, pattern(8));
    }
    CHECK(bus.device.closes == 1);
    CHECK(bus.server.counters().channels_broken == 1);
    CHECK_FALSE(bus.server.is_open(bus.device));
    bus.ram.give_back(channel->pfns[0]);
    bus.device.on_received = {};
    CHECK(bus.guest.signal(channel->connection) == 0); // dead, but no reason to fault
    CHECK(bus.neighbour_works(offers));

    channel->to_host.zero();
    channel->to_guest.zero();
    CHECK(bus.guest.reopen(*channel) == vmbus::kStatusInvalidParameter); // not closed yet
    bus.guest.close_only(*channel);
    CHECK(bus.device.closes == 1);
    CHECK(bus.guest.reopen(*channel) == 0u);
    bus.device.packets.clear();
    CHECK(bus.guest.send(*channel, pattern(8)));
    CHECK(bus.device.packets.size() == 1);
}

TEST_CASE("a device that will not deal with this guest breaks its channel as soon as it is opened",
          "[vmbus][hostile]") {
    HostileBus bus;
    bus.device.on_opened = [&] { bus.device.sink->break_channel(); };
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    REQUIRE(channel != nullptr); // the guest is answered all the same
    CHECK((bus.device.opens == 1 && bus.device.closes == 1));
    CHECK_FALSE(bus.server.is_open(bus.device));
    CHECK(bus.server.counters().channels_broken == 1);
    bus.guest.send(*channel, pattern(8));
    CHECK(bus.device.packets.empty());
    bus.guest.close_only(*channel);
    CHECK(bus.device.closes == 1);
    CHECK(bus.neighbour_works(offers));
}

TEST_CASE("a full ring holds the device back until the guest reads", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 2); // 4 KiB of data
    REQUIRE(channel != nullptr);
    channel->driver_reads = false;
    auto& sink = *bus.device.sink;
    CHECK(sink.send_inband(pattern(3000), 1) == vmbus::SendStatus::Ok);
    CHECK(sink.send_inband(pattern(3000), 2) == vmbus::SendStatus::Full);
    CHECK(bus.device.writables == 0);
    bus.guest.take_interrupts(); // the interrupt of the first packet, which a busy driver leaves alone
    channel->driver_reads = true;
    bus.guest.read_channel(*channel);
    CHECK(bus.device.writables == 1);
    CHECK(sink.send_inband(pattern(3000), 2) == vmbus::SendStatus::Ok);
    bus.guest.take_interrupts();
    CHECK(channel->received.size() == 2);
    CHECK(bus.server.counters().sends_full == 1);
}

TEST_CASE("a device that breaks its channel when it could write again reads nothing more",
          "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 2);
    channel->driver_reads = false;
    auto& sink = *bus.device.sink;
    CHECK(sink.send_inband(pattern(3000), 1) == vmbus::SendStatus::Ok);
    CHECK(sink.send_inband(pattern(3000), 2) == vmbus::SendStatus::Full);
    bus.device.on_writable = [&] { bus.device.sink->break_channel(); };
    channel->to_guest.read_index() = channel->to_guest.write_index();
    bus.guest.send(*channel, pattern(8));
    CHECK(bus.device.writables == 1);
    CHECK(bus.device.packets.empty());
    CHECK(bus.device.closes == 1);
    CHECK(bus.server.counters().channels_broken == 1);
}

TEST_CASE("a guest blocked on a full ring is woken when we have read", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 2);
    bool signal;
    while (channel->to_host.send(6, pattern(1000), 0, 0, signal)) {
    }
    channel->to_host.pending_send_size() = 1024;
    bus.interrupts.raised.clear();
    bus.guest.signal(channel->connection);
    CHECK(bus.device.packets.size() == 3);
    CHECK(bus.interrupts.take(0, LinuxGuest::kVmbusVector) == 1);
}

TEST_CASE("packets sent while the guest reads need no signal, the next one does", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    for (int i = 0; i < 10; ++i) {
        CHECK(bus.device.sink->send_inband(pattern(64), 0) == vmbus::SendStatus::Ok);
    }
    CHECK(bus.server.counters().signals_sent == 1);
    bus.guest.take_interrupts();
    CHECK(channel->received.size() == 10);
    bus.device.sink->send_inband(pattern(64), 0);
    CHECK(bus.server.counters().signals_sent == 2);
    bus.guest.take_interrupts();
    CHECK(channel->received.size() == 11);
}

TEST_CASE("packets written in one go need one signal", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    bool signal = false;
    int signals = 0;
    for (int i = 0; i < 20; ++i) {
        REQUIRE(channel->to_host.send(6, pattern(100), 0, 0, signal));
        signals += signal ? 1 : 0;
    }
    CHECK(signals == 1);
    bus.guest.signal(channel->connection);
    CHECK(bus.device.packets.size() == 20);
    CHECK(channel->to_host.interrupt_mask() == 0);
    CHECK(channel->to_host.used() == 0);
}

TEST_CASE("a guest that never stops writing is left until the next turn", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 2);
    bool signal;
    // A second processor of the guest that writes whether we have read or not.
    bus.device.on_received = [&] {
        channel->to_host.read_index() = channel->to_host.write_index();
        channel->to_host.send(6, pattern(8), 0, 0, signal);
    };
    channel->to_host.send(6, pattern(8), 0, 0, signal);
    bus.guest.signal(channel->connection);
    CHECK(bus.device.packets.size() > 1);
    CHECK(bus.device.packets.size() == 2 * 4096 / 32);
    CHECK(bus.server.has_pending_work());
    usize const before = bus.device.packets.size();
    bus.server.run_pending();
    CHECK(bus.device.packets.size() > before);
    bus.device.on_received = {};
    bus.server.tick(1);
    CHECK_FALSE(bus.server.has_pending_work());
    CHECK(channel->to_host.used() == 0);
    CHECK(channel->to_host.interrupt_mask() == 0);
}

TEST_CASE("completions are sent and received", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    bus.guest.send(*channel, pattern(16), 77, 1);
    bus.guest.take_interrupts();
    REQUIRE(channel->received.size() == 1);
    CHECK(channel->received[0].type == 11);
    CHECK(channel->received[0].transaction_id == 77);
    bus.guest.send(*channel, pattern(16), 78, 0, 11);
    REQUIRE(bus.device.packets.size() == 2);
    CHECK(bus.device.packets[0].completion_requested);
    CHECK(bus.device.packets[1].kind == vmbus::Packet::Kind::Completion);
    bus.guest.send(*channel, pattern(16), 79, 0, 9); // GPA-direct: no device of ours takes it
    CHECK(bus.device.packets.size() == 2);
    CHECK(bus.server.counters().packets_ignored == 1);
}

TEST_CASE("short and unknown messages get a status, never an answer", "[vmbus][hostile]") {
    HostileBus bus;
    bus.connect();
    struct Minimum {
        u32 type;
        usize bytes;
    };
    Minimum const minima[] = {{5, 148}, {7, 12}, {8, 28}, {9, 16}, {11, 16}, {13, 12}, {14, 40}, {22, 16}};
    u64 malformed = 0;
    for (auto const [type, bytes] : minima) {
        for (usize n : {bytes - 1, bytes / 2, usize{8}, usize{7}, usize{0}}) {
            if (n >= bytes) continue;
            CAPTURE(type, n);
            Bytes message(n);
            if (n >= 4) std::memcpy(message.data(), &type, 4);
            CHECK(bus.guest.try_post(message, 4) == 5);
            CHECK(bus.server.counters().messages_malformed == ++malformed);
        }
    }
    for (u32 type : {0u, 1u, 2u, 4u, 6u, 10u, 12u, 15u, 17u, 18u, 23u, 24u, 25u, 29u, 1000u, ~0u}) {
        CHECK(bus.guest.try_post(bytes_of(vmbus::MessageHeader{static_cast<MessageType>(type)}), 4) == 5);
    }
    CHECK(bus.guest.try_post(pattern(16), 4, 2) == 5); // not a channel message
    CHECK(bus.guest.try_post(pattern(16), 2) == 18);
    CHECK(bus.guest.try_post(pattern(16), 0x80'0074) == 18); // VTL 2's
    bus.guest.take_interrupts();
    CHECK(bus.guest.messages.empty());
    CHECK(bus.server.negotiated_version() == version(5, 3));
}

TEST_CASE("before InitiateContact nothing else counts", "[vmbus][hostile]") {
    HostileBus bus;
    bus.start_guest();
    bus.guest.post_struct(vmbus::MessageHeader{MessageType::RequestOffers});
    bus.guest.create_gpadl(1, 1, {1});
    bus.guest.post_struct(vmbus::OpenChannel{
        .relid = 1, .open_id = 1, .ring_gpadl = 1, .target_vp = 0, .downstream_page_offset = 1});
    bus.guest.take_interrupts();
    CHECK(bus.guest.messages.empty());
    CHECK(bus.server.counters().messages_unexpected == 3);
    CHECK(bus.guest.signal(0x2001) == 18);
    CHECK(bus.guest.unload()); // answered even so: a crash kernel may wait for it
}

TEST_CASE("offers are made once a connection", "[vmbus][hostile]") {
    HostileBus bus;
    CHECK(bus.connect().size() == 2);
    bus.guest.post_struct(vmbus::MessageHeader{MessageType::RequestOffers});
    bus.guest.take_interrupts();
    CHECK(bus.guest.messages.empty());
    CHECK(bus.server.counters().messages_unexpected == 1);
}

TEST_CASE("channels are opened with rings that exist, or not at all", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    u32 const relid = offers[0].relid, other = offers[1].relid;
    REQUIRE(bus.guest.create_gpadl(relid, 1, {0x40, 0x41, 0x42, 0x43}) == 0u);
    REQUIRE(bus.guest.create_gpadl(other, 2, {0x50, 0x51, 0x52, 0x53}) == 0u);
    REQUIRE(bus.guest.create_gpadl(relid, 3, {0x1000'0000, 0x41, 0x42, 0x43}) == 0u);
    REQUIRE(bus.guest.create_gpadl(relid, 4, {0x40, 0x41, 0x42}) == 0u);
    struct Case {
        char const* what;
        u32 relid, gpadl, vp, downstream;
    };
    for (auto const& c :
         {Case{"no such list", relid, 9, 0, 2}, Case{"another channel's", relid, 2, 0, 2},
          Case{"pages nowhere", relid, 3, 0, 2}, Case{"too few pages", relid, 4, 0, 2},
          Case{"no incoming ring", relid, 1, 0, 0}, Case{"header only", relid, 1, 0, 1},
          Case{"no outgoing ring", relid, 1, 0, 4}, Case{"outgoing header only", relid, 1, 0, 3},
          Case{"split past the end", relid, 1, 0, 5}, Case{"split far past the end", relid, 1, 0, ~0u},
          Case{"no such processor", relid, 1, 2, 2}}) {
        INFO(c.what);
        bus.guest.post_struct(vmbus::OpenChannel{.relid = c.relid,
                                                 .open_id = 0x77,
                                                 .ring_gpadl = c.gpadl,
                                                 .target_vp = c.vp,
                                                 .downstream_page_offset = c.downstream});
        auto const answer = bus.guest.wait_for(MessageType::OpenResult);
        REQUIRE(answer.has_value());
        CHECK(from_bytes<vmbus::OpenResult>(*answer).status != 0);
        CHECK(from_bytes<vmbus::OpenResult>(*answer).open_id == 0x77);
    }
    CHECK(bus.device.opens == 0);
    CHECK(bus.server.counters().opens_refused == 11);
    bus.guest.post_struct(vmbus::OpenChannel{
        .relid = relid, .open_id = relid, .ring_gpadl = 1, .target_vp = 1, .downstream_page_offset = 2});
    auto const good = bus.guest.wait_for(MessageType::OpenResult);
    REQUIRE(good.has_value());
    CHECK(from_bytes<vmbus::OpenResult>(*good).status == 0);
    for (u32 nobody : {0u, 3u, 17u, 2047u, ~0u}) {
        bus.guest.post_struct(vmbus::OpenChannel{
            .relid = nobody, .open_id = 1, .ring_gpadl = 1, .target_vp = 0, .downstream_page_offset = 2});
        bus.guest.post_struct(RelidMessage{{MessageType::CloseChannel}, nobody});
        bus.guest.post_struct(RelidMessage{{MessageType::RelIdReleased}, nobody});
    }
    CHECK_FALSE(bus.guest.wait_for(MessageType::OpenResult).has_value());
    CHECK(bus.server.is_open(bus.device));
}

TEST_CASE("tearing down an open channel's pages closes it first", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    CHECK(bus.guest.teardown(channel->relid, channel->gpadl));
    CHECK(bus.device.closes == 1);
    CHECK(bus.server.counters().channels_broken == 1);
    CHECK(bus.server.gpadls().used_pages() == 0);
    CHECK(bus.guest.teardown(channel->relid, channel->gpadl)); // absent: answered all the same
    CHECK(bus.guest.teardown(channel->relid, 0xabcd));
    CHECK(bus.server.counters().messages_unexpected == 2);
}

TEST_CASE("a neighbour's list cannot be torn down", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    CHECK(bus.guest.teardown(offers[1].relid, channel->gpadl));
    CHECK(bus.server.is_open(bus.device));
    CHECK(bus.server.gpadls().used_pages() == 8);
}

TEST_CASE("two channels over the same pages hurt nobody else", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const first = bus.guest.open(offers[0], 4);
    REQUIRE(bus.guest.create_gpadl(offers[1].relid, 55, first->pfns) == 0u);
    bus.guest.post_struct(vmbus::OpenChannel{.relid = offers[1].relid,
                                             .open_id = 1,
                                             .ring_gpadl = 55,
                                             .target_vp = 0,
                                             .downstream_page_offset = 4});
    bus.device.echo = bus.neighbour.echo = true;
    for (int i = 0; i < 50; ++i) {
        bus.guest.send(*first, pattern(64));
        bus.guest.signal(offers[1].connection_id);
        bus.guest.take_interrupts();
    }
    CHECK(bus.device.packets.size() >= 1);
    CHECK(bus.guest.unload());
    CHECK_FALSE(bus.server.is_open(bus.neighbour));
}

TEST_CASE("signals need a connection of an offered channel", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    u32 const id = offers[0].connection_id;
    CHECK(bus.guest.signal(id) == 0);
    CHECK(bus.server.counters().signals_stray == 1);
    CHECK(bus.guest.signal(id + 2) == 18);
    CHECK(bus.guest.signal(id & 0xfff) == 18);
    CHECK(bus.guest.signal(id | 0x8000'0000) == 18);
    CHECK(bus.guest.signal(0) == 18);
    CHECK(bus.hv.hypercall(0, 0x1'005d, id | 1ull << 32, 0).value == 5); // flag 1
}

TEST_CASE("a guest that posts without reading is told to try again", "[vmbus][hostile]") {
    HostileBus bus;
    bus.connect();
    auto const ask = bytes_of(vmbus::GpadlTeardown{.relid = 1, .gpadl = 1});
    u16 status = 0;
    int taken = 0;
    while ((status = bus.guest.try_post(ask, 4)) == 0)
        REQUIRE(++taken < 1000);
    CHECK(status == 19);
    CHECK(bus.server.counters().messages_deferred == 1);
    // And it gets every answer once it reads.
    int answers = 0;
    while (bus.guest.wait_for(MessageType::GpadlTorndown))
        ++answers;
    CHECK(answers == taken);
    CHECK(bus.guest.try_post(ask, 4) == 0);
    // A new connection is possible however full the queue.
    while (bus.guest.try_post(ask, 4) == 0) {
    }
    CHECK(bus.guest.try_post(
              bytes_of(vmbus::InitiateContact{{MessageType::InitiateContact}, version(5, 3), 0, 2, 0, 0}),
              4) == 0);
}

TEST_CASE("offers are not begun unless all of them have room to wait", "[vmbus][hostile]") {
    HostileBus bus;
    bus.start_guest();
    bus.guest.initiate_contact(version(5, 3));
    auto const ask = bytes_of(vmbus::GpadlTeardown{.relid = 1, .gpadl = 1});
    auto const offers = bytes_of(vmbus::MessageHeader{MessageType::RequestOffers});
    while (bus.hv.message_room() > vmbus::VmbusServer::kMaxChannels)
        REQUIRE(bus.guest.try_post(ask, 4) == 0);
    CHECK(bus.guest.try_post(offers, 4) == 19);
    CHECK(bus.guest.request_offers().size() == 2); // with Linux's retries
}

TEST_CASE("rescinding takes a device away, and its place is used again", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    u32 const relid = offers[0].relid;
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    CHECK(bus.server.rescind(bus.device));
    CHECK(bus.device.closes == 1);
    CHECK_FALSE(bus.server.rescind(bus.device));
    auto const message = bus.guest.wait_for(MessageType::RescindOffer);
    REQUIRE(message.has_value());
    CHECK(from_bytes<RelidMessage>(*message).relid == relid);
    CHECK_FALSE(bus.guest.reopen(*channel).has_value()); // silently ignored
    bus.guest.signal(channel->connection);

    EchoDevice late{3};
    REQUIRE(bus.server.add(late)); // not in the old place: the guest still holds it
    auto const offer = bus.guest.wait_for(MessageType::OfferChannel);
    REQUIRE(offer.has_value());
    CHECK(from_bytes<vmbus::OfferChannel>(*offer).relid != relid);

    CHECK(bus.guest.close(*channel));
    bus.guest.post_struct(RelidMessage{{MessageType::RelIdReleased}, relid});
    EchoDevice later{4};
    REQUIRE(bus.server.add(later));
    auto const again = bus.guest.wait_for(MessageType::OfferChannel);
    REQUIRE(again.has_value());
    CHECK(from_bytes<vmbus::OfferChannel>(*again).relid == relid);
    CHECK(bus.guest.open(from_bytes<vmbus::OfferChannel>(*again), 4) != nullptr);
    CHECK(later.opens == 1);
}

TEST_CASE("a device that leaves before the guest knew it leaves no trace", "[vmbus]") {
    HostileBus bus;
    CHECK(bus.server.rescind(bus.device));
    CHECK(bus.connect().size() == 1);
}

TEST_CASE("ModifyChannel moves the interrupt, and answers from 5.3 on", "[vmbus]") {
    HostileBus bus;
    auto const offers = bus.connect();
    GuestChannel* const channel = bus.guest.open(offers[0], 4);
    bus.guest.post_struct(vmbus::ModifyChannel{.relid = channel->relid, .target_vp = 1});
    auto answer = bus.guest.wait_for(MessageType::ModifyChannelResponse);
    REQUIRE(answer.has_value());
    CHECK(from_bytes<vmbus::ModifyChannelResponse>(*answer).status == 0);
    bus.device.sink->send_inband(pattern(8), 0);
    CHECK(bus.interrupts.raised == std::vector<std::pair<u32, u8>>{{1, LinuxGuest::kVmbusVector}});
    bus.guest.take_interrupts();
    CHECK(channel->received.size() == 1);

    bus.guest.post_struct(vmbus::ModifyChannel{.relid = channel->relid, .target_vp = 9});
    answer = bus.guest.wait_for(MessageType::ModifyChannelResponse);
    REQUIRE(answer.has_value());
    CHECK(from_bytes<vmbus::ModifyChannelResponse>(*answer).status != 0);
}

TEST_CASE("a full bus of broken channels costs no answers", "[vmbus][hostile]") {
    HostileBus bus;
    auto const offers = bus.connect();
    for (int round = 0; round < 20; ++round) {
        GuestChannel* const channel = bus.guest.open(offers[0], 4);
        REQUIRE(channel != nullptr);
        channel->to_host.write_index() = 1;
        bus.guest.signal(channel->connection);
        REQUIRE(bus.guest.close(*channel));
        bus.guest.next_free_page = 0x40;
    }
    CHECK(bus.device.opens == 20);
    CHECK(bus.device.closes == 20);
    CHECK(bus.server.counters().channels_broken == 20);
    CHECK(bus.neighbour_works(offers));
}
