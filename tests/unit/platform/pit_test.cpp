// SPDX-License-Identifier: Apache-2.0
// The 8254 as guests use it: ticks, one-shots, calibration through counter 2.
#include "fakes.hpp"
#include "hv/platform/pit.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;

namespace {
struct EdgeLine : InterruptLine {
    bool high = false;
    int edges = 0;
    void set(bool asserted) override {
        edges += asserted && !high;
        high = asserted;
    }
};
struct Bed {
    FakeClock clock;
    EdgeLine line;
    PortBus bus;
    Pit pit{clock, line};
    Bed() { pit.attach_to(bus); }
    void out(u16 port, u8 value) { bus.write(port, 1, value); }
    u8 in(u16 port) { return static_cast<u8>(bus.read(port, 1)); }
    void program(u8 word, u32 count) {
        out(0x43, word);
        u16 const port = static_cast<u16>(0x40 + (word >> 6));
        out(port, static_cast<u8>(count));
        out(port, static_cast<u8>(count >> 8));
        line.edges = 0;
    }
    u32 latched(unsigned counter) {
        out(0x43, static_cast<u8>(counter << 6));
        u16 const port = static_cast<u16>(0x40 + counter);
        u32 const low = in(port);
        return low | static_cast<u32>(in(port)) << 8;
    }
    /// Time in steps of @p step, with what is due done on the way.
    void pass(u64 time_100ns, u64 step = 100) {
        for (u64 done = 0; done < time_100ns; done += step) {
            clock.reference += step;
            if (clock.reference >= pit.next_deadline()) {
                pit.on_time();
            }
        }
    }
};
constexpr u64 kSecond = 10'000'000;
} // namespace

TEST_CASE("a timer that nobody programmed does nothing", "[pit]") {
    Bed b;
    CHECK(b.pit.next_deadline() == kNever);
    CHECK((b.in(0x61) & 0x20) != 0); // loops that wait for counter 2 end
    CHECK(((b.in(0x61) ^ b.in(0x61)) & 0x10) != 0);
    CHECK(b.in(0x43) == 0xff);
}

TEST_CASE("modes 2 and 3 tick at the rate of their count and do not drift", "[pit]") {
    u8 const word = GENERATE(u8{0x34}, u8{0x36}, u8{0x3c}, u8{0x3e});
    Bed b;
    b.program(word, 11932); // 100 Hz
    b.pass(10 * kSecond, 1000);
    CHECK(b.line.edges >= 999);
    CHECK(b.line.edges <= 1000);
}

TEST_CASE("mode 0 interrupts once, and again when it is loaded again", "[pit]") {
    Bed b;
    b.program(0x30, 11932);
    CHECK_FALSE(b.line.high);
    b.pass(kSecond / 101);
    CHECK(b.line.edges == 0);
    b.pass(kSecond / 1000);
    CHECK(b.line.edges == 1);
    CHECK(b.pit.next_deadline() == kNever);
    b.pass(kSecond);
    CHECK(b.line.edges == 1);
    b.program(0x30, 0); // 65536
    b.pass(kSecond / 20);
    CHECK(b.line.edges == 0);
    b.pass(kSecond / 100);
    CHECK(b.line.edges == 1);
}

TEST_CASE("an interrupt that is due comes although the guest touches the timer first", "[pit]") {
    Bed b;
    b.program(0x30, 1193);
    b.clock.reference += kSecond;
    b.out(0x43, 0x00); // latch
    CHECK(b.line.edges == 1);
    CHECK(b.pit.next_deadline() == kNever);
}

TEST_CASE("mode 4, the one-shot of Linux, interrupts once", "[pit]") {
    Bed b;
    b.program(0x38, 1193);
    b.pass(kSecond / 500);
    CHECK(b.line.edges == 1);
    CHECK(b.pit.next_deadline() == kNever);
}

TEST_CASE("no count makes interrupts closer than 50 us, but it counts at its own pace", "[pit]") {
    Bed b;
    u32 const count = GENERATE(1u, 2u, 10u);
    b.program(0x34, count);
    b.pass(kSecond / 100, 10);
    CHECK(b.line.edges <= 201);
    CHECK(b.line.edges >= 150);
}

TEST_CASE("a latched count stands still until both bytes are read", "[pit]") {
    Bed b;
    b.program(0x34, 0x8000);
    b.pass(1000, 1000); // 119 clocks
    CHECK(b.latched(0) == 0x8000 - 119);
    b.out(0x43, 0x00);
    b.pass(1000, 1000);
    b.out(0x43, 0x00); // a second latch is ignored
    u8 const low = b.in(0x40);
    b.pass(1000, 1000);
    CHECK((low | b.in(0x40) << 8) == 0x8000 - 119);
    CHECK(b.latched(0) == 0x8000 - 357);
}

TEST_CASE("read-back latches status and count of several counters", "[pit]") {
    Bed b;
    b.program(0x34, 0x1000);
    b.out(0x43, 0xb6);
    b.out(0x43, 0xca);         // counters 0 and 2, both
    CHECK(b.in(0x40) == 0xb4); // output high, count loaded, two bytes, mode 2
    CHECK((b.in(0x40) | b.in(0x40) << 8) == 0x1000);
    CHECK((b.in(0x42) & 0x7f) == 0x76); // count missing, two bytes, mode 3
}

TEST_CASE("counter 2 measures time behind its gate, as calibration loops do", "[pit]") {
    Bed b;
    b.out(0x61, 0);
    b.out(0x43, 0xb0); // mode 0
    b.out(0x42, static_cast<u8>(59659));
    b.out(0x42, static_cast<u8>(59659 >> 8)); // 50 ms
    b.pass(kSecond);
    CHECK((b.in(0x61) & 0x23) == 0); // the gate is closed: it waits
    b.out(0x61, 1);
    u64 const began = b.clock.reference;
    while ((b.in(0x61) & 0x20) == 0) {
        b.pass(100);
    }
    CHECK(b.clock.reference - began >= 500'000);
    CHECK(b.clock.reference - began <= 500'300);
    CHECK(b.line.edges == 0);
}

TEST_CASE("a reset stops it", "[pit]") {
    Bed b;
    b.program(0x34, 11932);
    b.pit.reset();
    CHECK(b.pit.next_deadline() == kNever);
    CHECK_FALSE(b.line.high);
}
