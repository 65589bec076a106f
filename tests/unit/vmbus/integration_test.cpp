// SPDX-License-Identifier: Apache-2.0
// Heartbeat, shutdown and time synchronisation against a guest that answers as Linux's hv_util.c does.
#include "hv/vmbus/heartbeat.hpp"
#include "hv/vmbus/shutdown.hpp"
#include "hv/vmbus/time_sync.hpp"
#include "tests/unit/vmbus/bus_fixture.hpp"

using namespace hv;
using namespace hv::test;
using vmbus::IntegrationService;

namespace {
struct Request {
    u16 type;
    usize bytes; ///< of the payload in the ring
    Bytes body;
};

/// hv_utils: the versions it knows, and what it has been asked.
struct HvUtils {
    explicit HvUtils(Bus& b) : bus{b} {
        bus.guest.on_packet = [this](GuestChannel& c, GuestPacket const& p) { answer(c, p); };
    }
    struct Pair {
        u16 major, minor;
        bool operator==(Pair const&) const = default;
    };
    std::vector<Pair> frameworks{{3, 0}, {1, 0}}, messages{{4, 0}, {3, 2}, {3, 1}, {3, 0}, {1, 0}};
    u32 status = 0;
    bool silent = false, garbled = false;
    std::vector<Request> requests;
    Bus& bus;

    static Pair choose(std::vector<Pair> const& mine, std::span<Pair const> offered) {
        for (Pair const& m : mine) {
            for (Pair const& o : offered) {
                if (m == o) return m;
            }
        }
        return {0, 0};
    }
    void answer(GuestChannel& channel, GuestPacket const& packet) {
        Bytes b = packet.payload;
        REQUIRE(b.size() >= 28);
        u16 const type = from_bytes<u16>(b, 12);
        CHECK(from_bytes<u32>(b, 4) + 8 <= b.size()); // pipe header's size fits
        CHECK(b[25] == 3);                            // transaction | request
        if (type == 0) {
            u16 const n = from_bytes<u16>(b, 28), m = from_bytes<u16>(b, 30);
            REQUIRE(36u + 4u * (n + m) <= b.size());
            std::vector<Pair> offered;
            for (u32 i = 0; i < u32{n} + m; ++i)
                offered.push_back(from_bytes<Pair>(b, 36 + 4 * i));
            Pair const f = choose(frameworks, std::span{offered}.first(n));
            Pair const v = choose(messages, std::span{offered}.subspan(n));
            u16 const found = f.major != 0 && v.major != 0 ? 1 : 0;
            std::memcpy(&b[28], &found, 2);
            std::memcpy(&b[30], &found, 2);
            std::memcpy(&b[36], &f, 4);
            std::memcpy(&b[40], &v, 4);
        } else {
            requests.push_back({type, b.size(), Bytes(b.begin() + 28, b.end())});
            if (type == 3 && b.size() < 28 + 2060) return; // dropped silently
            if (type == 1) {
                u64 const sequence = from_bytes<u64>(b, 28) + (garbled ? 2 : 1);
                std::memcpy(&b[28], &sequence, 8);
            }
        }
        if (silent) return;
        std::memcpy(&b[20], &status, 4);
        b[25] = 5; // transaction | response
        bus.guest.send(channel, b, packet.transaction_id);
    }
};

/// Seconds pass: the server ticks, the guest takes its interrupts.
void run_seconds(Bus& bus, int seconds) {
    for (int i = 0; i < seconds; ++i) {
        bus.clock.reference += 10'000'000;
        bus.server.tick(bus.clock.reference);
        bus.guest.take_interrupts();
    }
}
} // namespace

TEST_CASE("heartbeat beats every two seconds and tells when the guest stops", "[vmbus][ic]") {
    using Health = vmbus::Heartbeat::Health;
    Bus bus;
    vmbus::Heartbeat heartbeat;
    HvUtils utils{bus};
    bus.server.add(heartbeat);
    CHECK(heartbeat.health() == Health::Unknown);
    GuestChannel& channel = bus.open_first();
    bus.guest.take_interrupts();
    CHECK(heartbeat.state() == IntegrationService::State::Ready);
    run_seconds(bus, 21);
    CHECK(heartbeat.health() == Health::Alive);
    CHECK(utils.requests.size() == 11);
    CHECK(heartbeat.beats() == 11);
    CHECK(from_bytes<u64>(utils.requests[10].body) == 10);

    utils.silent = true;
    run_seconds(bus, 8);
    CHECK(heartbeat.health() == Health::Alive); // it was asked 1…7 s ago
    run_seconds(bus, 3);
    CHECK(heartbeat.health() == Health::Lost);
    CHECK(utils.requests.size() == 12); // one question in flight, however long
    bus.guest.close_only(channel);
    CHECK(heartbeat.health() == Health::Unknown);
}

TEST_CASE("a wrong heartbeat answer is no sign of life", "[vmbus][ic]") {
    Bus bus;
    vmbus::Heartbeat heartbeat;
    HvUtils utils{bus};
    utils.garbled = true;
    bus.server.add(heartbeat);
    bus.open_first();
    bus.guest.take_interrupts();
    run_seconds(bus, 10);
    CHECK(heartbeat.beats() == 0);
    CHECK(heartbeat.health() != vmbus::Heartbeat::Health::Alive);
}

TEST_CASE("the host's versions meet the guest's", "[vmbus][ic]") {
    Bus bus;
    vmbus::ShutdownService shutdown;
    HvUtils utils{bus};
    bus.server.add(shutdown);
    SECTION("newest of both") {
        bus.open_first();
        bus.guest.take_interrupts();
        CHECK(shutdown.state() == IntegrationService::State::Ready);
        CHECK(shutdown.negotiated() == vmbus::ic::Version{3, 2});
    }
    SECTION("an old guest") {
        utils.frameworks = {{1, 0}};
        utils.messages = {{1, 0}};
        bus.open_first();
        bus.guest.take_interrupts();
        CHECK(shutdown.negotiated() == vmbus::ic::Version{1, 0});
    }
    SECTION("nothing in common") {
        utils.messages = {{9, 9}};
        bus.open_first();
        bus.guest.take_interrupts();
        CHECK(shutdown.state() == IntegrationService::State::Refused);
        CHECK(shutdown.ask(vmbus::ShutdownService::Kind::PowerOff) ==
              vmbus::ShutdownService::Request::NotReady);
    }
}

TEST_CASE("shutdown asks once and tells what the guest said", "[vmbus][ic]") {
    using Shutdown = vmbus::ShutdownService;
    Bus bus;
    Shutdown shutdown;
    HvUtils utils{bus};
    bus.server.add(shutdown);
    CHECK(shutdown.ask(Shutdown::Kind::PowerOff) == Shutdown::Request::NotReady);
    GuestChannel& channel = bus.open_first();
    bus.guest.take_interrupts();

    SECTION("accepted") {
        CHECK(shutdown.ask(Shutdown::Kind::PowerOff) == Shutdown::Request::Sent);
        CHECK(shutdown.outcome() == Shutdown::Outcome::Waiting);
        CHECK(shutdown.ask(Shutdown::Kind::PowerOff) == Shutdown::Request::Busy);
        bus.guest.take_interrupts();
        CHECK(shutdown.outcome() == Shutdown::Outcome::Accepted);
        REQUIRE(utils.requests.size() == 1);
        CHECK(utils.requests[0].bytes >= 28 + 2060);
        CHECK(from_bytes<u32>(utils.requests[0].body, 8) == 0);
        bus.guest.close_only(channel);
        CHECK(shutdown.outcome() == Shutdown::Outcome::Accepted);
    }
    SECTION("reboot") {
        shutdown.ask(Shutdown::Kind::Reboot);
        bus.guest.take_interrupts();
        REQUIRE(utils.requests.size() == 1);
        CHECK(from_bytes<u32>(utils.requests[0].body, 8) == 2);
    }
    SECTION("refused") {
        utils.status = 0x8000'4005;
        shutdown.ask(Shutdown::Kind::PowerOff);
        bus.guest.take_interrupts();
        CHECK(shutdown.outcome() == Shutdown::Outcome::Refused);
        utils.status = 0;
        CHECK(shutdown.ask(Shutdown::Kind::PowerOff) == Shutdown::Request::Sent);
        bus.guest.take_interrupts();
        CHECK(shutdown.outcome() == Shutdown::Outcome::Accepted);
    }
    SECTION("no answer") {
        utils.silent = true;
        shutdown.ask(Shutdown::Kind::PowerOff);
        run_seconds(bus, 5);
        CHECK(shutdown.outcome() == Shutdown::Outcome::Waiting);
        run_seconds(bus, 10);
        CHECK(shutdown.outcome() == Shutdown::Outcome::Unanswered);
    }
}

TEST_CASE("time synchronisation sets the clock once, then samples", "[vmbus][ic]") {
    Bus bus;
    vmbus::TimeSync time{bus.clock};
    HvUtils utils{bus};
    bus.server.add(time);
    bool const modern = GENERATE(true, false);
    if (!modern) utils.messages = {{3, 0}};
    usize const flags_at = modern ? 16 : 24;
    bus.open_first();
    bus.guest.take_interrupts();
    REQUIRE(utils.requests.size() == 1); // at once, not a tick later
    CHECK(from_bytes<u64>(utils.requests[0].body) == bus.clock.wall);
    CHECK(utils.requests[0].body[flags_at] == 1);
    if (modern) CHECK(from_bytes<u64>(utils.requests[0].body, 8) == bus.clock.reference);

    run_seconds(bus, 20);
    REQUIRE(utils.requests.size() == 5);
    CHECK(utils.requests[4].body[flags_at] == 2);
    time.request_set();
    run_seconds(bus, 1);
    REQUIRE(utils.requests.size() == 6);
    CHECK(utils.requests[5].body[flags_at] == 1);
}

TEST_CASE("an answer to an older question is not taken for the newest", "[vmbus][ic]") {
    Bus bus;
    vmbus::Heartbeat heartbeat;
    HvUtils utils{bus};
    bus.server.add(heartbeat);
    GuestChannel& channel = bus.open_first();
    bus.guest.take_interrupts();
    run_seconds(bus, 1);
    REQUIRE(heartbeat.beats() == 1);
    utils.silent = true;
    run_seconds(bus, 2);
    REQUIRE(heartbeat.service_counters().requests == 2);
    Bytes answer = channel.received.back().payload;
    u64 const sequence = from_bytes<u64>(answer, 28) + 1;
    std::memcpy(&answer[28], &sequence, 8);
    answer[25] = 5;
    --answer[24]; // the transaction before
    bus.guest.send(channel, answer);
    CHECK(heartbeat.beats() == 1);
    CHECK(heartbeat.service_counters().unexpected == 1);
    ++answer[24];
    bus.guest.send(channel, answer);
    CHECK(heartbeat.beats() == 2);
}

TEST_CASE("answers nobody asked for are counted and change nothing", "[vmbus][ic]") {
    Bus bus;
    vmbus::Heartbeat heartbeat;
    bus.server.add(heartbeat);
    GuestChannel& channel = bus.open_first();
    SECTION("before the negotiation is answered") {
        Bytes answer(28 + 40);
        answer[12] = 1, answer[25] = 5;
        bus.guest.send(channel, answer);
        CHECK(heartbeat.service_counters().unexpected == 1);
        CHECK(heartbeat.state() == IntegrationService::State::Negotiating);
    }
    SECTION("too short") {
        bus.guest.send(channel, pattern(16));
        CHECK(heartbeat.service_counters().malformed == 1);
    }
    SECTION("a request instead of an answer") {
        Bytes request(64);
        request[25] = 3;
        bus.guest.send(channel, request);
        CHECK(heartbeat.service_counters().malformed == 1);
    }
    SECTION("a negotiation answer without its versions") {
        Bytes answer(32);
        answer[24] = 1, answer[25] = 5;
        bus.guest.send(channel, answer);
        CHECK(heartbeat.state() == IntegrationService::State::Refused);
    }
    SECTION("a version we never offered") {
        Bytes answer(28 + 16);
        answer[24] = 1, answer[25] = 5;
        answer[28] = answer[30] = 1;
        answer[36] = 7, answer[40] = 7;
        bus.guest.send(channel, answer);
        CHECK(heartbeat.state() == IntegrationService::State::Refused);
    }
    run_seconds(bus, 3);
}
