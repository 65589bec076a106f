// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/platform/rtc.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;

namespace {
struct Line : InterruptLine {
    bool high = false;
    void set(bool asserted) override { high = asserted; }
};
constexpr u64 kSecond = 10'000'000;
constexpr u64 at(CivilTime const& t) {
    return seconds_from_civil(t) * kSecond;
}
struct Bed {
    FakeClock clock;
    Line line;
    Rtc rtc;
    explicit Bed(u64 wall = at({2026, 1, 31, 23, 59, 58, 0})) : clock{start(wall)}, rtc{clock, line} {}
    static FakeClock start(u64 wall) {
        FakeClock c;
        c.wall = wall;
        return c;
    }
    u8 in(u8 index) {
        rtc.write(0x70, 1, index);
        return static_cast<u8>(rtc.read(0x71, 1));
    }
    void out(u8 index, u8 value) {
        rtc.write(0x70, 1, index);
        rtc.write(0x71, 1, value);
    }
    void pass(u64 time_100ns) {
        clock.wall += time_100ns;
        clock.reference += time_100ns;
        if (clock.reference >= rtc.next_deadline()) {
            rtc.on_time();
        }
    }
    std::vector<int> now() { return {in(0x32), in(9), in(8), in(7), in(4), in(2), in(0)}; }
};
} // namespace

TEST_CASE("the calendar agrees with itself over four centuries", "[rtc]") {
    for (u64 day = 0; day < 146097 * 2; ++day) {
        CivilTime const t = civil_from_seconds(day * 86400 + 12345);
        REQUIRE(seconds_from_civil(t) == day * 86400 + 12345);
        REQUIRE(t.weekday == (day + 1) % 7 + 1);
    }
}

TEST_CASE("time reads as BCD, 24 hours, with a century", "[rtc]") {
    Bed b;
    CHECK(b.in(0x0d) == 0x80);
    CHECK((b.in(0x0b) & 0x86) == 0x02);
    CHECK((b.in(0x0a) & 0x7f) == 0x26);
    CHECK(b.now() == std::vector<int>{0x20, 0x26, 0x01, 0x31, 0x23, 0x59, 0x58});
    CHECK(b.in(6) == 7); // a Saturday
    b.pass(2 * kSecond);
    CHECK(b.now() == std::vector<int>{0x20, 0x26, 0x02, 0x01, 0x00, 0x00, 0x00});
}

TEST_CASE("binary and 12-hour formats", "[rtc]") {
    Bed b;
    b.out(0x0b, 0x06);
    CHECK(b.now() == std::vector<int>{20, 26, 1, 31, 23, 59, 58});
    b.out(0x0b, 0x00);
    CHECK(b.in(4) == (0x80 | 0x11));
    b.pass(2 * kSecond);
    CHECK(b.in(4) == 0x12); // midnight
    b.pass(12 * 3600 * kSecond);
    CHECK(b.in(4) == (0x80 | 0x12));
}

TEST_CASE("update in progress is announced 244 microseconds ahead and ends", "[rtc]") {
    Bed b;
    CHECK((b.in(0x0a) & 0x80) == 0);
    b.pass(kSecond - 2441);
    CHECK((b.in(0x0a) & 0x80) == 0);
    b.pass(1);
    CHECK((b.in(0x0a) & 0x80) == 0x80);
    b.pass(2440);
    CHECK((b.in(0x0a) & 0x80) == 0);
    CHECK(b.in(0) == 0x59);
}

TEST_CASE("setting the clock as Linux does", "[rtc]") {
    Bed b;
    b.out(0x0b, 0x82);
    b.pass(5 * kSecond);
    CHECK(b.in(0) == 0x58); // halted
    CHECK((b.in(0x0a) & 0x80) == 0);
    b.out(0x32, 0x20);
    b.out(9, 0x30);
    b.out(8, 0x02);
    b.out(7, 0x28);
    b.out(4, 0x12);
    b.out(2, 0x34);
    b.out(0, 0x56);
    b.out(0x0b, 0x02);
    CHECK(b.now() == std::vector<int>{0x20, 0x30, 0x02, 0x28, 0x12, 0x34, 0x56});
    b.pass(3600 * kSecond);
    CHECK(b.in(4) == 0x13);
    b.out(2, 0x00); // without SET: at once
    CHECK(b.in(2) == 0);
    CHECK(b.in(4) == 0x13);
    b.rtc.reset();
    CHECK(b.in(9) == 0x30); // on battery
}

TEST_CASE("nonsense dates leave the clock as it was", "[rtc]") {
    Bed b;
    auto const before = b.now();
    b.out(0x0b, 0x82);
    b.out(8, 0x13);
    b.out(0x0b, 0x02);
    CHECK(b.now() == before);
    for (unsigned value = 0; value < 256; ++value) {
        for (u8 index : {0, 2, 4, 7, 8, 9, 0x32}) {
            b.out(0x0b, 0x82);
            b.out(index, static_cast<u8>(value));
            b.out(0x0b, 0x02);
            b.in(0x0c);
        }
    }
    b.out(7, 0x31);
    b.out(8, 0x02);
    CHECK(b.in(8) != 0x02); // there is no 31 February
}

TEST_CASE("CMOS RAM keeps its bytes", "[rtc]") {
    Bed b;
    b.out(0x0f, 0x0a); // shutdown code
    b.out(0x7f, 0x77);
    CHECK(b.in(0x0f) == 0x0a);
    CHECK(b.in(0x7f) == 0x77);
    CHECK(b.in(0xff) == 0x77); // bit 7 is the NMI mask
    CHECK(b.rtc.read(0x70, 1) == 0xff);
    b.out(0x0d, 0);
    CHECK(b.in(0x0d) == 0x80);
}

TEST_CASE("update-ended interrupt once a second", "[rtc]") {
    Bed b;
    CHECK(b.rtc.next_deadline() == kNever);
    b.in(0x0c);
    b.out(0x0b, 0x12);
    CHECK(b.rtc.next_deadline() == kSecond);
    b.pass(kSecond);
    CHECK(b.line.high);
    CHECK(b.rtc.next_deadline() == kNever); // until acknowledged
    CHECK(b.in(0x0c) == 0x90);
    CHECK(!b.line.high);
    CHECK(b.in(0x0c) == 0);
    CHECK(b.rtc.next_deadline() == 2 * kSecond);
    b.rtc.reset();
    CHECK(b.rtc.next_deadline() == kNever);
}

TEST_CASE("alarms: exact, with wildcards, and impossible", "[rtc]") {
    Bed b;
    b.in(0x0c);
    SECTION("exact, tomorrow") {
        b.out(5, 0x06);
        b.out(3, 0x30);
        b.out(1, 0x15);
        b.out(0x0b, 0x22);
        CHECK(b.rtc.next_deadline() == (2 + 6 * 3600 + 30 * 60 + 15) * kSecond);
        b.pass(b.rtc.next_deadline());
        CHECK(b.line.high);
        CHECK(b.in(0x0c) == 0xb0); // the update flag stands too, enabled or not
    }
    SECTION("every minute") {
        b.out(5, 0xff);
        b.out(3, 0xc0);
        b.out(1, 0x00);
        b.out(0x0b, 0x22);
        CHECK(b.rtc.next_deadline() == 2 * kSecond);
        b.pass(2 * kSecond);
        CHECK((b.in(0x0c) & 0xa0) == 0xa0);
        CHECK(b.rtc.next_deadline() == 62 * kSecond);
    }
    SECTION("never") {
        b.out(1, 0x61);
        b.out(0x0b, 0x22);
        CHECK(b.rtc.next_deadline() == kNever);
        b.pass(100'000 * kSecond);
        CHECK((b.in(0x0c) & 0x20) == 0);
    }
    SECTION("seen by polling without an interrupt") {
        b.out(5, 0x00);
        b.out(3, 0x00);
        b.out(1, 0x01);
        b.pass(10 * kSecond);
        CHECK(b.in(0x0c) == 0x30);
        CHECK(!b.line.high);
    }
}

TEST_CASE("the periodic interrupt comes at the rate of register A, once for each acknowledgement", "[rtc]") {
    Bed b;
    b.out(0x0a, 0x26); // 1024 Hz
    b.out(0x0b, 0x42);
    u32 seen = 0;
    for (u32 i = 0; i < 20'000; ++i) {
        b.pass(500);
        if (b.line.high) {
            CHECK((b.in(0x0c) & 0xc0) == 0xc0);
            ++seen;
        }
    }
    CHECK(seen >= 1023);
    CHECK(seen <= 1025);
    b.pass(kSecond);
    CHECK(b.line.high);
    b.pass(kSecond); // not acknowledged: nothing further is planned
    CHECK(b.rtc.next_deadline() == kNever);
    b.in(0x0c);
    b.out(0x0a, 0x20); // rate 0: none
    b.pass(kSecond);
    CHECK_FALSE(b.line.high);
}
