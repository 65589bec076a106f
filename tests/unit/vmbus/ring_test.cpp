// SPDX-License-Identifier: Apache-2.0
// The rings by themselves: wrap, full against corrupt, and who signals whom.
#include "hv/vmbus/ring.hpp"
#include "tests/fakes/linux_guest_ring.hpp"
#include <catch2/catch.hpp>
#include <random>

using namespace hv;
using namespace hv::test;
using vmbus::IncomingRing;
using vmbus::OutgoingRing;
using vmbus::PacketDescriptor;
using vmbus::RingPages;
using vmbus::RingStatus;

namespace {
struct Rings {
    FlatGuestRam ram{32};
    std::vector<u32> pfns{9, 5, 7}; // 8192 bytes of data, pages in no order
    GuestRing guest{ram, {9, 5, 7}};
    IncomingRing in;
    OutgoingRing out;
    std::array<u8, 8192> buffer{};
    PacketDescriptor descriptor{};
    std::span<u8 const> payload;

    Rings() {
        guest.zero();
        attach();
    }
    void attach() {
        REQUIRE(in.attach({ram, pfns}) == RingStatus::Ok);
        REQUIRE(out.attach({ram, pfns}) == RingStatus::Ok);
    }
    RingStatus read() { return in.read(buffer, descriptor, payload); }
    RingStatus write(usize bytes, bool& signal) {
        std::vector<u8> const data(bytes, 0x5a);
        return out.write(vmbus::PacketType::InBand, data, 1, signal);
    }
    RingStatus write(usize bytes) {
        bool signal;
        return write(bytes, signal);
    }
};
std::vector<u8> bytes(usize n, u8 first) {
    std::vector<u8> data(n);
    for (usize i = 0; i < n; ++i)
        data[i] = static_cast<u8>(first + i);
    return data;
}
} // namespace

TEST_CASE("packets of any size cross the end of the ring unharmed", "[vmbus][ring]") {
    Rings r;
    std::mt19937 random{7};
    bool signal;
    for (int i = 0; i < 2000; ++i) {
        auto const data = bytes(random() % 1500, static_cast<u8>(i));
        REQUIRE(r.guest.send(6, data, i, static_cast<u16>(i % 2), signal));
        REQUIRE(r.read() == RingStatus::Ok);
        REQUIRE(r.payload.size() == (data.size() + 7) / 8 * 8);
        REQUIRE(std::equal(data.begin(), data.end(), r.payload.begin()));
        REQUIRE(r.descriptor.transaction_id == static_cast<u64>(i));
        REQUIRE(r.descriptor.flags == i % 2);
        r.in.publish();
        REQUIRE(r.read() == RingStatus::Empty);
    }
}

TEST_CASE("what we write Linux can read, trailer included", "[vmbus][ring]") {
    Rings r;
    std::mt19937 random{8};
    for (int i = 0; i < 2000; ++i) {
        auto const data = bytes(random() % 1500, static_cast<u8>(i));
        bool signal;
        REQUIRE(r.out.write(vmbus::PacketType::Completion, data, i, signal) == RingStatus::Ok);
        CHECK(signal); // the ring was empty
        auto const packet = r.guest.receive();
        REQUIRE(packet.has_value());
        REQUIRE(packet->type == 11);
        REQUIRE(packet->transaction_id == static_cast<u64>(i));
        REQUIRE(packet->trailer == u64{packet->start} << 32);
        REQUIRE(packet->payload.size() == (data.size() + 7) / 8 * 8);
        REQUIRE(std::equal(data.begin(), data.end(), packet->payload.begin()));
        REQUIRE(std::all_of(packet->payload.begin() + static_cast<long>(data.size()), packet->payload.end(),
                            [](u8 b) { return b == 0; })); // no bytes of ours in the padding
    }
}

TEST_CASE("a ring is never filled completely", "[vmbus][ring]") {
    Rings r;
    CHECK(r.write(8192 - 24) == RingStatus::Full); // would make it look empty
    CHECK(r.write(8192 - 32) == RingStatus::Ok);
    CHECK(r.write(0) == RingStatus::Full);
    CHECK(r.guest.used() == 8184);
}

TEST_CASE("the first packet signals, the next does not, a masked ring never", "[vmbus][ring]") {
    Rings r;
    bool signal;
    r.write(8, signal);
    CHECK(signal);
    r.write(8, signal);
    CHECK_FALSE(signal); // the guest still reads
    r.guest.receive();
    r.write(8, signal);
    CHECK_FALSE(signal);
    while (r.guest.receive()) {
    }
    r.write(8, signal);
    CHECK(signal);
    while (r.guest.receive()) {
    }
    r.guest.interrupt_mask() = 1;
    r.write(8, signal);
    CHECK_FALSE(signal);
}

TEST_CASE("a blocked writer asks for room and learns of it", "[vmbus][ring]") {
    Rings r;
    CHECK(r.write(4000) == RingStatus::Ok);
    CHECK(r.write(3000) == RingStatus::Ok);
    CHECK(r.write(4000) == RingStatus::Full);
    CHECK(r.guest.pending_send_size() == 4024);
    CHECK(r.out.blocked());
    CHECK_FALSE(r.out.room_again());
    r.guest.receive();
    CHECK(r.out.room_again());
    CHECK_FALSE(r.out.blocked());
    CHECK(r.guest.pending_send_size() == 0);
    CHECK(r.write(4000) == RingStatus::Ok);

    CHECK(r.write(4000) == RingStatus::Full); // a smaller one takes the request back
    CHECK(r.write(8) == RingStatus::Ok);
    CHECK(r.guest.pending_send_size() == 0);
    CHECK_FALSE(r.out.blocked());
}

TEST_CASE("a blocked guest is signalled by the read that makes its room", "[vmbus][ring]") {
    Rings r;
    bool signal;
    for (int i = 0; i < 7; ++i)
        REQUIRE(r.guest.send(6, bytes(1000, 1), 0, 0, signal)); // 1024 bytes each
    r.guest.pending_send_size() = 4000;                         // 1024 are free
    for (int i = 1; i <= 7; ++i) {
        REQUIRE(r.read() == RingStatus::Ok);
        CHECK(r.in.publish() == (i == 3)); // 4096 > 4000 ≥ 3072
        CHECK_FALSE(r.in.publish());
    }
}

TEST_CASE("a guest that does not use pending sizes is not signalled for them", "[vmbus][ring]") {
    Rings r;
    bool signal;
    r.guest.feature_bits() = 0;
    REQUIRE(r.guest.send(6, bytes(1000, 1), 0, 0, signal));
    r.guest.pending_send_size() = 8000;
    r.read();
    CHECK_FALSE(r.in.publish());
}

TEST_CASE("lying indices are corrupt, not full or empty", "[vmbus][ring]") {
    u32 const lie = GENERATE(8192u, 4u, 8191u, 0x8000'0000u, ~0u, 8200u);
    CAPTURE(lie);
    Rings r;
    SECTION("the write index of what we read") {
        r.guest.write_index() = lie;
        CHECK(r.read() == RingStatus::Corrupt);
        CHECK_FALSE(r.in.empty());
    }
    SECTION("the read index of what we write") {
        r.guest.read_index() = lie;
        CHECK(r.write(8) == RingStatus::Corrupt);
        CHECK(r.guest.write_index() == 0);
    }
    SECTION("at open") {
        r.guest.read_index() = lie;
        CHECK(r.in.attach({r.ram, r.pfns}) == RingStatus::Corrupt);
        CHECK(r.out.attach({r.ram, r.pfns}) == RingStatus::Corrupt);
    }
}

TEST_CASE("our own index is ours", "[vmbus][ring]") {
    Rings r;
    bool signal;
    REQUIRE(r.guest.send(6, bytes(16, 3), 0, 0, signal));
    r.guest.read_index() = 4000; // the guest scribbles over what we published
    REQUIRE(r.read() == RingStatus::Ok);
    CHECK(r.payload[0] == 3);
    r.in.publish();
    CHECK(r.guest.read_index() == 40);

    Rings w;
    CHECK(w.write(8) == RingStatus::Ok);
    w.guest.write_index() = 4000;
    CHECK(w.write(8) == RingStatus::Ok);
    CHECK(w.guest.write_index() == 64);
}

TEST_CASE("packets that lie about their size are corrupt", "[vmbus][ring]") {
    struct Case {
        char const* what;
        u16 offset8, length8;
        u32 written;
    };
    auto const c = GENERATE(Case{"payload before the descriptor's end", 1, 4, 64},
                            Case{"no header", 0, 4, 64}, Case{"payload after the end", 5, 4, 64},
                            Case{"longer than what was written", 2, 8, 64}, Case{"trailer missing", 2, 8, 64},
                            Case{"longest", 2, 0xffff, 8184}, Case{"nothing at all", 0, 0, 64},
                            Case{"half a descriptor", 2, 2, 8}, Case{"no room for a trailer", 2, 2, 16});
    INFO(c.what);
    Rings r;
    std::vector<u8> raw(c.written);
    u16 const head[] = {6, c.offset8, c.length8, 0};
    std::memcpy(raw.data(), head, std::min(sizeof head, raw.size()));
    r.guest.put(raw);
    CHECK(r.read() == RingStatus::Corrupt);
}

TEST_CASE("a packet larger than the buffer is corrupt, one that fits exactly is not", "[vmbus][ring]") {
    Rings r;
    bool signal;
    REQUIRE(r.guest.send(6, bytes(64, 1), 0, 0, signal));
    CHECK(r.in.read(std::span{r.buffer}.first(64), r.descriptor, r.payload) == RingStatus::Ok);
    REQUIRE(r.guest.send(6, bytes(72, 1), 0, 0, signal));
    CHECK(r.in.read(std::span{r.buffer}.first(64), r.descriptor, r.payload) == RingStatus::Corrupt);
}

TEST_CASE("a page taken away makes the ring corrupt", "[vmbus][ring]") {
    Rings r;
    bool signal;
    u64 const page = GENERATE(9, 5);
    REQUIRE(r.guest.send(6, bytes(64, 1), 0, 0, signal));
    r.ram.balloon(page);
    CHECK(r.read() == RingStatus::Corrupt);
    CHECK(r.write(100) == RingStatus::Corrupt);
    if (page == 9) {
        r.in.set_mask(true); // nowhere to write: nothing happens
        CHECK_FALSE(r.in.publish());
        CHECK(r.in.attach({r.ram, r.pfns}) == RingStatus::Corrupt);
    }
}
