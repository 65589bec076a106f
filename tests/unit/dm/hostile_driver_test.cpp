// SPDX-License-Identifier: Apache-2.0
// Guests that lie, stammer or send rubbish: a counter moves, memory stays in order, everyone else runs on.
#include "tests/unit/dm/driver_bed.hpp"
#include <random>

using namespace hv;
using namespace hv::dm;
using namespace hv::dm::test;
using State = DmService::State;
using Kind = Operation::Kind;

namespace {
/// A bed with a balloon request of 1024 pages under way.
struct Asked : DriverBed {
    Asked() {
        ready();
        status(1000);
        REQUIRE(start(Kind::Balloon, 1024));
        sink.sent.clear();
    }
    void is_distrusted() {
        CHECK(service.state() == State::Distrusted);
        CHECK_FALSE(service.pressure().valid);
        CHECK_FALSE(start(Kind::Balloon, 512));
        CHECK(service.liveness(now) == DmService::Liveness::Absent);
        status(1000);
        CHECK_FALSE(service.pressure().valid); // it is not listened to any more
        memory.check();
        CHECK(sink.breaks == 1);
        service.closed();
        CHECK(service.state() == State::Distrusted);
        RecordingSink again;
        service.opened(again);
        CHECK(again.breaks == 1);
        version(wire::kVersion2_0);
        CHECK(again.sent.empty());
        CHECK(service.state() == State::Distrusted);
        service.closed();
        CHECK_FALSE(start(Kind::Balloon, 512));
    }
};
} // namespace

TEST_CASE("pages that the guest does not have are not taken, and it is not trusted any more",
          "[dm][hostile]") {
    Asked bed;
    u64 const lie = GENERATE(DriverBed::range(DriverBed::kStartup, 1),       // past its memory
                             DriverBed::range(DriverBed::kStartup - 10, 20), // half past it
                             DriverBed::range(DriverBed::kHotBase, 16),      // not added yet
                             DriverBed::range(MemoryModel::kHole, 1),        // a device
                             DriverBed::range(MemoryModel::kHole - 1, 2),    // into a device
                             DriverBed::range((1ull << 40) - 1, 1),          // the last number there is
                             DriverBed::range((1ull << 40) - 8, 1000),       // past it
                             DriverBed::range(0x1000, (1u << 24) - 1),       // the longest range there is
                             DriverBed::range(0x1000, 0),                    // nothing
                             DriverBed::range(0x1000, 1025), ~0ull);
    bed.ballooned({lie});
    CHECK(bed.service.counters().foreign_ranges == 1);
    CHECK(bed.memory.ballooned_pages() == 0);
    bed.is_distrusted();
}

TEST_CASE("the same page twice is a lie", "[dm][hostile]") {
    Asked bed;
    SECTION("in one message") {
        bed.ballooned({DriverBed::range(0x1000, 16), DriverBed::range(0x100f, 4)});
        CHECK(bed.memory.ballooned_pages() == 16); // what was true before the lie stays
    }
    SECTION("in two messages") {
        bed.ballooned({DriverBed::range(0x1000, 16)}, true);
        bed.ballooned({DriverBed::range(0x1000, 16)});
        CHECK(bed.memory.ballooned_pages() == 16);
    }
    SECTION("in two answers") {
        bed.ballooned({DriverBed::range(0x1000, 1024)});
        REQUIRE(bed.start(Kind::Balloon, 512));
        bed.ballooned({DriverBed::range(0x1200, 512)});
        CHECK(bed.memory.ballooned_pages() == 1024);
    }
    CHECK(bed.service.counters().foreign_ranges == 1);
    bed.is_distrusted();
}

TEST_CASE("more pages than asked for are a lie", "[dm][hostile]") {
    Asked bed;
    bed.ballooned({DriverBed::range(0x1000, 1000), DriverBed::range(0x2000, 25)});
    CHECK(bed.memory.ballooned_pages() == 1000);
    bed.is_distrusted();
}

TEST_CASE("a range count beyond the message is a lie", "[dm][hostile]") {
    Asked bed;
    u32 const count = GENERATE(3u, 510u, 0x7fff'ffffu);
    bed.receive(wire::Type::BalloonResponse, wire::RangesHead{{}, 0, count << 1},
                {DriverBed::range(0x1000, 1), DriverBed::range(0x1001, 1)});
    CHECK(bed.service.counters().malformed == 1);
    CHECK(bed.memory.ballooned_pages() == 0);
    bed.is_distrusted();
}

TEST_CASE("answers that nobody waits for change nothing", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    bed.ballooned({DriverBed::range(0x1000, 512)});
    bed.unballoon_answer();
    bed.hot_add_answer(128 * kMib, 1);
    bed.version(wire::kVersion2_0);
    bed.capabilities(0);
    CHECK(bed.service.counters().unexpected == 5);
    CHECK(bed.service.ready());
    CHECK(bed.service.hot_add_possible());
    CHECK(bed.memory.ballooned_pages() == 0);
    CHECK(bed.sink.sent.empty());
    bed.memory.check();
}

TEST_CASE("an answer of the wrong kind does not end an operation", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    bed.unballoon_answer();
    bed.ballooned({DriverBed::range(0x1000, 512)});
    CHECK(bed.service.state() == State::HotAdding);
    CHECK(bed.memory.ballooned_pages() == 0);
    bed.hot_add_answer(128 * kMib, 1);
    bed.hot_add_answer(128 * kMib, 1); // twice
    CHECK(bed.service.counters().hot_added_pages == 128 * kMib);
    CHECK(bed.service.counters().unexpected == 3);
    bed.memory.check();
}

TEST_CASE("a guest that says it hot-added more than offered is credited what was offered", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    REQUIRE(bed.start(Kind::HotAdd, 128 * kMib));
    bed.hot_add_answer(0xffff'ffff, GENERATE(0u, 1u));
    CHECK(bed.service.counters().hot_added_pages == 128 * kMib);
    CHECK(bed.memory.hot_add_left_pages() == DriverBed::kHot - 128 * kMib);
    bed.memory.check();
}

TEST_CASE("messages before their turn in the handshake are not obeyed", "[dm][hostile]") {
    DriverBed bed;
    bed.service.opened(bed.sink);
    bed.capabilities();
    bed.status(1000);
    CHECK(bed.service.state() == State::Version);
    CHECK(bed.service.counters().unexpected == 2);
    CHECK_FALSE(bed.service.pressure().valid);
    bed.version(wire::kVersion2_0);
    bed.version(wire::kVersion2_0);
    CHECK(bed.service.state() == State::Capabilities);
    CHECK(bed.service.counters().unexpected == 3);
}

TEST_CASE("short, overlong and unknown messages are counted and dropped", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    auto const header = [](u16 type, u16 bytes, usize length) {
        Bytes message(length, 0xff);
        wire::Header const h{type, bytes, 1};
        std::memcpy(message.data(), &h, std::min(length, sizeof h));
        return message;
    };
    auto const send = [&](Bytes const& message) {
        u64 const before = bed.service.counters().malformed;
        bed.service.received({.payload = message});
        return bed.service.counters().malformed - before;
    };
    CHECK(send({}) == 1);
    CHECK(send(Bytes(7)) == 1);
    CHECK(send(header(5, 48, 40)) == 1); // says more than came
    CHECK(send(header(5, 4, 48)) == 1);  // less than a header
    CHECK(send(header(5, 40, 48)) == 1); // a report that lacks a field
    CHECK(send(header(0, 8, 8)) == 1);   // "error"
    CHECK(send(header(6, 16, 16)) == 1); // a host's message
    CHECK(send(header(14, 8, 8)) == 1);  // hot remove
    CHECK(send(header(0xffff, 8, 8)) == 1);
    CHECK(send(header(5, 48, 56)) == 0); // padding is fine
    CHECK(bed.service.ready());
}

TEST_CASE("only in-band packets are messages", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    wire::StatusReport const report{{5, 48, 1}, 7, 7, 0, 0, 0, 0};
    bed.service.received({.kind = vmbus::Packet::Kind::Completion,
                          .payload = {reinterpret_cast<u8 const*>(&report), sizeof report}});
    CHECK_FALSE(bed.service.pressure().valid);
}

TEST_CASE("absurd numbers in a report are bounded", "[dm][hostile]") {
    DriverBed bed;
    bed.ready();
    bed.status(~0ull, ~0ull);
    CHECK(bed.service.pressure().demand_pages == 1ull << 40);
    CHECK(bed.service.pressure().available_pages == 1ull << 40);
}

TEST_CASE("a partition whose driver lied is trusted again after its reset, not before", "[dm][hostile]") {
    Asked bed;
    bed.ballooned({~0ull});
    bed.is_distrusted();
    bed.service.reset();
    bed.ready();
    REQUIRE(bed.start(Kind::Balloon, 512));
    bed.ballooned({DriverBed::range(0x1000, 512)});
    CHECK(bed.service.ready());
}

namespace {
/// Makes messages that are mostly the awaited answer and mostly right.
class RandomDriver {
  public:
    explicit RandomDriver(u64 seed) : random{seed} {}
    u64 upto(u64 n) { return random() % n; }

    Bytes message(State state) {
        u16 const type = upto(4) == 0 ? static_cast<u16>(1 + upto(11)) : awaited(state);
        Bytes bytes(type == 5 ? 48 : type == 3 ? 32 : 16 + 8 * upto(20));
        for (u8& byte : bytes) {
            byte = static_cast<u8>(random());
        }
        wire::Header const header{static_cast<u16>(upto(30) == 0 ? random() : type),
                                  static_cast<u16>(upto(30) == 0 ? random() : bytes.size()), 0};
        std::memcpy(bytes.data(), &header, sizeof header);
        if (upto(20) != 0) {
            fill(type, bytes);
        }
        return bytes;
    }
    std::mt19937_64 random;

  private:
    static u16 awaited(State state) {
        switch (state) {
        case State::Version: return 1;
        case State::Capabilities: return 3;
        case State::Ballooning: return 7;
        case State::GivingBack: return 9;
        case State::HotAdding: return 11;
        default: return 5;
        }
    }
    void fill(u16 type, Bytes& bytes) {
        u32 words[2] = {0, 0};
        if (type == 1) {
            words[0] = upto(4) == 0 ? 7 : wire::kVersion2_0;
        } else if (type == 3) {
            words[0] = 0x1f;
        } else if (type == 11) {
            words[0] = static_cast<u32>(upto(700));
            words[1] = words[0] != 0 ? 1 : upto(20) == 0;
        } else if (type == 7) {
            words[1] = static_cast<u32>((bytes.size() / 8 - 2) << 1 | upto(2));
            for (usize at = 16; at + 8 <= bytes.size(); at += 8, next_page_ += 4) {
                u64 const range = upto(100) == 0 ? DriverBed::range(upto(37'000), upto(5000))
                                                 : DriverBed::range(0x100 + next_page_ % 3800, 1 + upto(4));
                std::memcpy(bytes.data() + at, &range, 8);
            }
        }
        std::memcpy(bytes.data() + 8, words, sizeof words);
    }
    u64 next_page_ = 0;
};
} // namespace

namespace {
/// One life with a random driver. @return what happened in it
DmCounters random_life(u64 seed) {
    CAPTURE(seed);
    RandomDriver driver{seed};
    auto const upto = [&](u64 n) { return driver.upto(n); };
    // A small guest, so that random page numbers hit something.
    MemoryModel memory{4096, 128 * kMib, 4096, 3000};
    DmService service{memory, 8192};
    RecordingSink sink;
    u64 now = kSecond;
    bool open = false;
    for (u32 step = 0; step < 4000; ++step) {
        sink.room = upto(20) == 0 ? 0 : 4;
        sink.status_when_full = upto(8) == 0 ? vmbus::SendStatus::Corrupt : vmbus::SendStatus::Full;
        if (sink.sent.size() >= 4 || upto(2) == 0) {
            sink.sent.clear();
        }
        switch (upto(10)) {
        case 0: service.tick(now += upto(3) * kSecond); break;
        case 1: service.writable(); break;
        case 2:
            if (!open || upto(15) == 0) {
                if (!open && upto(2) == 0) {
                    service.reset();
                }
                open ? service.closed() : service.opened(sink);
                open = !open;
            }
            break;
        case 3:
        case 4:
            service.start({static_cast<Kind>(upto(4)), upto(10) == 0 ? driver.random() : 1 + upto(100)}, now);
            break;
        default: {
            if (!open) {
                break;
            }
            Bytes const message = driver.message(service.state());
            bool const inband = upto(30) != 0;
            service.received({.kind = inband ? vmbus::Packet::Kind::InBand : vmbus::Packet::Kind::Completion,
                              .payload = message});
            break;
        }
        }
        if (sink.breaks != 0) { // what the bus does when the callback has returned
            sink.breaks = 0;
            service.closed();
            open = false;
        }
        if (step % 16 == 0) {
            memory.check();
        }
    }
    return service.counters();
}
} // namespace

TEST_CASE("whatever a guest sends, its memory stays in order", "[dm][hostile][random]") {
    DmCounters all;
    for (u64 seed = 1; seed <= 60; ++seed) {
        DmCounters const c = random_life(seed);
        all.reports += c.reports;
        all.ballooned_pages += c.ballooned_pages;
        all.given_back_pages += c.given_back_pages;
        all.hot_added_pages += c.hot_added_pages;
        all.malformed += c.malformed;
        all.foreign_ranges += c.foreign_ranges;
        all.unexpected += c.unexpected;
        all.short_answers += c.short_answers;
    }
    // All of it was reached.
    CHECK(all.reports > 1000);
    CHECK(all.ballooned_pages > 1000);
    CHECK(all.given_back_pages > 1000);
    CHECK(all.hot_added_pages > 1000);
    CHECK(all.malformed > 1000);
    CHECK(all.foreign_ranges > 100);
    CHECK(all.unexpected > 1000);
    CHECK(all.short_answers > 100);
}
