// SPDX-License-Identifier: Apache-2.0
// The local APIC's timer in its three modes.
#include "apic_bed.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::platform;
using namespace hv::test;
using apic::Register;

TEST_CASE("one-shot timer fires once, on time", "[apic][timer]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    bed.write(Register::DivideConfiguration, 0xb); // by 1: 100 MHz against a 1 GHz TSC
    bed.write(Register::LvtTimer, 0x30);
    CHECK(a.next_deadline() == kNever);
    bed.write(Register::InitialCount, 1000);
    CHECK(a.next_deadline() == 1000 + 10'000);
    bed.clock.tsc += 5000;
    CHECK(bed.read(Register::CurrentCount) == 500);
    a.on_time(bed.clock.tsc);
    CHECK(!a.has_deliverable());
    bed.next_deadline();
    CHECK(bed.read(Register::CurrentCount) == 0);
    REQUIRE(a.has_deliverable());
    CHECK(a.acknowledge() == 0x30);
    CHECK(a.next_deadline() == kNever);
    bed.write(Register::InitialCount, 1000);
    bed.write(Register::InitialCount, 0);
    CHECK(a.next_deadline() == kNever);
}

TEST_CASE("periodic timer keeps its phase and skips what it missed", "[apic][timer]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    bed.write(Register::DivideConfiguration, 0x3); // by 16
    bed.write(Register::LvtTimer, 0x2'0031);
    bed.write(Register::InitialCount, 1000); // 160 us
    CHECK(a.next_deadline() == 161'000);
    bed.next_deadline();
    CHECK(a.acknowledge() == 0x31);
    a.eoi();
    CHECK(a.next_deadline() == 321'000);
    bed.clock.tsc = 1'000'000;
    CHECK(bed.read(Register::CurrentCount) <= 1000);
    a.on_time(bed.clock.tsc);
    CHECK(a.acknowledge() == 0x31);
    CHECK(!a.has_deliverable());
    CHECK(a.next_deadline() == 1'121'000);
    bed.write(Register::LvtTimer, 0x3'0031); // masked: goes on silently
    CHECK(a.next_deadline() == kNever);
    bed.clock.tsc = 2'000'000;
    bed.write(Register::LvtTimer, 0x2'0031);
    CHECK(!a.has_deliverable());
    CHECK(a.next_deadline() == 2'081'000);
}

TEST_CASE("a period of one tick does not own the machine", "[apic][timer]") {
    ApicBed bed;
    bed.write(Register::DivideConfiguration, 0xb);
    bed.write(Register::LvtTimer, 0x2'0031);
    bed.write(Register::InitialCount, 1);
    CHECK(bed[0].next_deadline() >= bed.clock.tsc + 20'000);
    CHECK(bed.read(Register::CurrentCount) <= 1);
    bed.next_deadline();
    CHECK(bed[0].has_deliverable());
    CHECK(bed[0].next_deadline() >= bed.clock.tsc + 20'000);
}

TEST_CASE("TSC-deadline timer", "[apic][timer]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    a.write_tsc_deadline(5000); // not in that mode yet
    CHECK(a.read_tsc_deadline() == 0);
    bed.write(Register::LvtTimer, 0x4'0032);
    bed.write(Register::InitialCount, 77);
    CHECK(bed.read(Register::InitialCount) == 0);
    a.write_tsc_deadline(5000);
    CHECK(a.read_tsc_deadline() == 5000);
    CHECK(a.next_deadline() == 5000);
    bed.next_deadline();
    CHECK(a.read_tsc_deadline() == 0);
    CHECK(a.acknowledge() == 0x32);
    a.eoi();
    a.write_tsc_deadline(4000); // in the past: at once
    a.on_time(bed.clock.tsc);
    CHECK(a.acknowledge() == 0x32);
    a.eoi();
    a.write_tsc_deadline(9000);
    bed.write(Register::LvtTimer, 0x0'0032); // leaving the mode disarms
    CHECK(a.next_deadline() == kNever);
    bed.write(Register::LvtTimer, 0x4'0032);
    a.write_tsc_deadline(9000);
    bed.write(Register::LvtTimer, 0x5'0032); // masked while it runs out
    bed.clock.tsc = 10'000;
    CHECK(a.read_tsc_deadline() == 0);
    bed.write(Register::LvtTimer, 0x4'0032);
    CHECK(!a.has_deliverable());
}

TEST_CASE("a count goes on as it was when the guest writes its TSC, a deadline does not", "[apic][timer]") {
    ApicBed bed;
    LocalApic& a = bed[0];
    bed.clock.tsc = 5'000'000'000;
    bed.write(Register::DivideConfiguration, 0xb);
    bool const periodic = GENERATE(false, true);
    bed.write(Register::LvtTimer, periodic ? 0x2'0031 : 0x31);
    bed.write(Register::InitialCount, 10'000); // 100 us
    bed.clock.tsc += 40'000;
    auto const write_tsc = [&](u64 tsc) {
        a.tsc_moves(tsc - bed.clock.tsc);
        bed.clock.tsc = tsc;
    };
    for (u64 const tsc : {u64{0}, u64{1} << 40, ~u64{0} / 2}) {
        write_tsc(tsc);
        CHECK(bed.read(Register::CurrentCount) == 6000);
        CHECK(a.next_deadline() == tsc + 60'000);
    }
    write_tsc(0);
    bed.clock.tsc = 60'001; // just due, and not fired yet
    write_tsc(0);
    a.on_time(0);
    REQUIRE(a.has_deliverable());
    CHECK(a.acknowledge() == 0x31);
    a.eoi();
    CHECK(a.next_deadline() == (periodic ? 99'999 : kNever));
    bed.write(Register::LvtTimer, 0x4'0031);
    a.write_tsc_deadline(1'000'000);
    write_tsc(999'000);
    CHECK(a.next_deadline() == 1'000'000);
    a.write_tsc_deadline(0);
    write_tsc(0);
    CHECK(a.next_deadline() == kNever);
}

TEST_CASE("all dividers", "[apic][timer]") {
    ApicBed bed;
    bed.write(Register::LvtTimer, 0x30);
    u32 const encodings[] = {0xb, 0, 1, 2, 3, 8, 9, 0xa};
    for (unsigned i = 0; i < 8; ++i) {
        bed.write(Register::DivideConfiguration, encodings[i]);
        bed.write(Register::InitialCount, 100);
        CHECK(bed[0].next_deadline() - bed.clock.tsc == 1000ull << i);
    }
    bed.write(Register::InitialCount, 0xffff'ffff);
    CHECK(bed[0].next_deadline() - bed.clock.tsc == (0xffff'ffffull << 7) * 10);
    CHECK(bed.read(Register::CurrentCount) == 0xffff'ffff);
}

TEST_CASE("a timer slower than its TSC's reciprocal still counts right", "[apic][timer]") {
    FakeClock clock;
    clock.hz = 2'903'999'967;
    ApicTimer t{clock.hz, 200'000'000};
    t.set_masked(false, 0);
    t.set_divide(0xb, 0);
    t.set_initial(200'000'000, 0); // one second
    CHECK(t.next_deadline() == Approx(clock.hz).epsilon(1e-6));
    CHECK(t.current(t.next_deadline()) <= 200);
    CHECK(t.current(clock.hz / 2) == Approx(100'000'000).epsilon(1e-6));
}

TEST_CASE("an illegal timer vector is an APIC error, delivered once through LVT error", "[apic]") {
    ApicBed bed;
    bed.write(Register::LvtError, 0xfe);
    bed.write(Register::LvtTimer, 0x5);
    bed.write(Register::InitialCount, 100);
    bed.next_deadline();
    CHECK(bed[0].acknowledge() == 0xfe);
    bed.write(Register::ErrorStatus, 0);
    CHECK(bed.read(Register::ErrorStatus) == 0x40);
    bed.write(Register::LvtError, 0x3); // illegal itself: no recursion
    bed.write(Register::InitialCount, 100);
    bed.next_deadline();
    CHECK(!bed[0].has_deliverable());
}
