// SPDX-License-Identifier: Apache-2.0
#include "hv/hyperv/reference_tsc.hpp"
#include "tests/unit/hyperv/hyperv_fixture.hpp"

using namespace hv;
using namespace hv::test;

namespace {
constexpr u64 kLinuxDirect = 0x1ed9 & ~1ull;    // vector 0xed, direct, auto-enable
constexpr u64 kLinuxMessage = 0x2'0009 & ~1ull; // SINT2, auto-enable
constexpr u32 kConfig = msr::kStimer0Config, kCount = msr::kStimer0Count;

void at(Partition& p, u64 reference, u32 vp = 0) {
    p.clock.reference = reference;
    p.hv.on_time(vp, reference);
}
} // namespace

TEST_CASE("Linux's direct one-shot fires once, at its time", "[hyperv][stimer]") {
    Partition p;
    u64 const now = p.clock.reference;
    p.write(kConfig, 0x1ed9);
    p.write(kCount, now + 1000);
    CHECK(p.hv.next_deadline(0) == now + 1000);
    CHECK(p.hv.next_deadline(1) == kNever);
    at(p, now + 999);
    CHECK(p.interrupts.raised.empty());
    at(p, now + 1000);
    CHECK(p.interrupts.take(0, 0xed) == 1);
    CHECK(p.hv.next_deadline(0) == kNever);
    CHECK((p.read(kConfig) & 1) == 0);
    at(p, now + 2000);
    CHECK(p.interrupts.raised.empty());
    p.write(kCount, now + 3000); // auto-enable
    CHECK((p.read(kConfig) & 1) == 1);
    at(p, now + 3000);
    CHECK(p.interrupts.take(0, 0xed) == 1);
}

TEST_CASE("a time in the past fires at once", "[hyperv][stimer]") {
    Partition p;
    p.write(kConfig, kLinuxDirect);
    p.write(kCount, 1);
    CHECK(p.interrupts.take(0, 0xed) == 1);
    CHECK(p.hv.next_deadline(0) == kNever);
}

TEST_CASE("a count of zero, or CONFIG 0, stops a timer", "[hyperv][stimer]") {
    Partition p;
    p.write(kConfig, kLinuxDirect);
    p.write(kCount, p.clock.reference + 10);
    bool const by_count = GENERATE(true, false);
    p.write(by_count ? kCount : kConfig, 0);
    CHECK((p.read(kConfig) & 1) == 0);
    CHECK(p.hv.next_deadline(0) == kNever);
    at(p, p.clock.reference + 100);
    CHECK(p.interrupts.raised.empty());
}

TEST_CASE("message mode without a SINT cannot be enabled", "[hyperv][stimer]") {
    Partition p;
    p.write(kConfig, 0x9);
    CHECK(p.read(kConfig) == 0x8);
}

TEST_CASE("a periodic timer keeps its beat and skips what it missed", "[hyperv][stimer]") {
    Partition p;
    u64 const now = p.clock.reference;
    p.write(kCount, 1000);
    p.write(kConfig, 0x1ed3); // enable, periodic, direct
    for (u64 i = 1; i <= 5; ++i) {
        CHECK(p.hv.next_deadline(0) == now + i * 1000);
        at(p, now + i * 1000 + 3);
        CHECK(p.interrupts.take(0, 0xed) == 1);
    }
    at(p, now + 10'500);
    CHECK(p.interrupts.take(0, 0xed) == 1);
    CHECK(p.hv.counters().timer_periods_skipped == 4);
    CHECK(p.hv.next_deadline(0) == now + 11'000);
}

TEST_CASE("no period is short enough to keep the host busy", "[hyperv][stimer]") {
    Partition p;
    u64 const now = p.clock.reference;
    p.write(kCount, 1);
    p.write(kConfig, 0x1ed3);
    CHECK(p.hv.next_deadline(0) == now + SyntheticTimers::kMinPeriod_100ns);
    p.write(kCount, ~0ull);
    CHECK(p.hv.next_deadline(0) == kNever);
}

TEST_CASE("message mode sends its message, and waits for the slot", "[hyperv][stimer]") {
    Partition p;
    p.enable_synic();
    u64 const now = p.clock.reference;
    u8 const other[8] = {};
    p.hv.post_message(0, 2, 1, other);
    p.interrupts.raised.clear();
    p.write(kConfig + 2, kLinuxMessage); // timer 1
    p.write(kCount + 2, now + 50);
    at(p, now + 60);
    CHECK(p.interrupts.raised.empty());
    CHECK(p.slot().type == 1);
    CHECK((p.slot().flags & 1) == 1);
    p.slot().type = 0;
    p.clock.reference = now + 80;
    SECTION("delivered at EOM") {
        p.write(msr::kEom, 0);
    }
    SECTION("delivered at EOI") {
        p.hv.deliver_waiting(0);
    }
    SECTION("delivered after a post of another kind, in that one's wake") {
        p.hv.post_message(0, 2, 1, other);
        CHECK(p.slot().type == 1);
        p.slot().type = 0;
        p.write(msr::kEom, 0);
    }
    REQUIRE(p.slot().type == kTimerExpiredMessage);
    CHECK(p.slot().payload_bytes == 24);
    TimerMessage body;
    std::memcpy(&body, p.slot().payload.data(), sizeof body);
    CHECK(body.timer_index == 1);
    CHECK(body.expiration_time_100ns == now + 50);
    CHECK(body.delivery_time_100ns == now + 80);
    p.slot().type = 0;
    p.write(msr::kEom, 0);
    CHECK(p.slot().type == 0); // once
}

TEST_CASE("setting a timer anew takes back its message", "[hyperv][stimer]") {
    Partition p;
    p.enable_synic();
    p.slot().type = 77; // busy
    p.write(kConfig, kLinuxMessage);
    p.write(kCount, 1);
    CHECK(p.hv.counters().messages_deferred == 1);
    p.write(kCount, p.clock.reference + 1000);
    p.slot().type = 0;
    p.write(msr::kEom, 0);
    CHECK(p.slot().type == 0);
    at(p, p.clock.reference + 1000);
    CHECK(p.slot().type == kTimerExpiredMessage);
}

TEST_CASE("four timers a processor, each processor its own", "[hyperv][stimer]") {
    Partition p;
    u64 const now = p.clock.reference;
    for (u32 t = 0; t < 4; ++t) {
        p.write(kConfig + 2 * t, 1ull << 12 | 1ull << 3 | (0x40ull + t) << 4, 1);
        p.write(kCount + 2 * t, now + 400 - 100 * t, 1);
    }
    CHECK(p.hv.next_deadline(1) == now + 100);
    at(p, now + 250, 1);
    CHECK(p.interrupts.raised == std::vector<std::pair<u32, u8>>{{1, 0x42}, {1, 0x43}});
    CHECK(p.hv.next_deadline(1) == now + 300);
    p.hv.reset_vp(1);
    CHECK(p.hv.next_deadline(1) == kNever);
    p.interrupts.raised.clear();
    at(p, now + 500, 1);
    CHECK(p.interrupts.raised.empty());
}
