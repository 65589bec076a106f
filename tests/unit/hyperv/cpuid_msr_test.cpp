// SPDX-License-Identifier: Apache-2.0
#include "hv/hyperv/reference_tsc.hpp"
#include "tests/unit/hyperv/hyperv_fixture.hpp"
#include <set>

using namespace hv;
using namespace hv::test;

TEST_CASE("the leaves convince Linux and nothing beyond them is claimed", "[hyperv]") {
    Partition p;
    CpuidRegs r;
    REQUIRE(p.hv.cpuid(0x4000'0000, r));
    CHECK(r.eax >= 0x4000'0005);
    CHECK(r.eax < 0x4000'000a); // from there on Linux asks for nested features
    char name[12];
    std::memcpy(name, &r.ebx, 4);
    std::memcpy(name + 4, &r.ecx, 4);
    std::memcpy(name + 8, &r.edx, 4);
    CHECK(std::string{name, 12} == "Microsoft Hv");
    REQUIRE(p.hv.cpuid(0x4000'0001, r));
    CHECK(r.eax == 0x3123'7648);
    REQUIRE(p.hv.cpuid(0x4000'0003, r));
    CHECK((r.eax & 0x60) == 0x60);               // hypercall and VP index MSRs: without them no Hyper-V
    CHECK((r.ebx & (1u << 12 | 1u << 22)) == 0); // neither root partition nor isolation
    REQUIRE(p.hv.cpuid(0x4000'0004, r));
    CHECK((r.eax & (1u << 2 | 1u << 3 | 1u << 9 | 1u << 10)) == 1u << 9);
    CHECK(r.ecx == 39);
    REQUIRE(p.hv.cpuid(0x4000'0005, r));
    CHECK(r.eax == 2);
    r = {1, 1, 1, 1};
    REQUIRE(p.hv.cpuid(0x4000'0007, r));
    CHECK(r == CpuidRegs{});
    REQUIRE(p.hv.cpuid(0x4000'0100, r)); // another hypervisor's place: empty
    CHECK(r == CpuidRegs{});
    CHECK_FALSE(p.hv.cpuid(0x3fff'ffff, r));
    CHECK_FALSE(p.hv.cpuid(0x5000'0000, r));
    CHECK_FALSE(p.hv.cpuid(0x8000'0000, r));
    CHECK_FALSE(p.hv.cpuid(0, r));
    CHECK(p.hv.cpuid_leaves().size() == 7);
}

TEST_CASE("each synthetic MSR is read, written or refused as documented", "[hyperv]") {
    Partition p;
    std::set<u32> readable{0x4000'0000, 0x4000'0001, 0x4000'0002, 0x4000'0020, 0x4000'0021,
                           0x4000'0022, 0x4000'0023, 0x4000'0073, 0x4000'0118};
    for (u32 i = 0x4000'0080; i <= 0x4000'0084; ++i)
        readable.insert(i);
    for (u32 i = 0x4000'0090; i <= 0x4000'009f; ++i)
        readable.insert(i);
    for (u32 i = 0x4000'00b0; i <= 0x4000'00b7; ++i)
        readable.insert(i);
    for (u32 i = 0x4000'0100; i <= 0x4000'0105; ++i)
        readable.insert(i);
    std::set<u32> const read_only{0x4000'0002, 0x4000'0020, 0x4000'0022, 0x4000'0023, 0x4000'0081};
    for (u32 index = 0x4000'0000; index < 0x4000'1000; ++index) {
        CAPTURE(index);
        u64 value = 0;
        bool const known = readable.count(index) != 0;
        CHECK(p.hv.read_msr(0, index, value) == (known ? MsrResult::Handled : MsrResult::Fault));
        // What was read may be written back (a SINT's reset value is masked).
        auto const write = p.hv.write_msr(0, index, value & ~(3ull << 62));
        CHECK(write == (known && read_only.count(index) == 0 ? MsrResult::Handled : MsrResult::Fault));
    }
    u64 value = 0;
    CHECK(p.hv.read_msr(0, 0x3fff'ffff, value) == MsrResult::NotMine);
    CHECK(p.hv.read_msr(0, 0x4000'1000, value) == MsrResult::NotMine);
    CHECK(p.hv.write_msr(0, 0xc000'0080, 0) == MsrResult::NotMine);
    CHECK(p.hv.counters().msr_faults > 0);
}

TEST_CASE("plain values are what the partition was made with", "[hyperv]") {
    Partition p;
    CHECK(p.read(msr::kVpIndex, 0) == 0);
    CHECK(p.read(msr::kVpIndex, 1) == 1);
    CHECK(p.read(msr::kTimeRefCount) == p.clock.reference);
    CHECK(p.read(msr::kTscFrequency) == p.clock.hz);
    CHECK(p.read(msr::kApicFrequency) == 1'000'000'000);
    CHECK(p.read(msr::kSversion) == 1);
    CHECK(p.read(msr::kSint0 + 5) == 0x10000);
    CHECK(p.write(msr::kTscInvariantControl, 2) == MsrResult::Fault);
    CHECK(p.write(msr::kTscInvariantControl, 1) == MsrResult::Handled);
    CHECK(p.read(msr::kTscInvariantControl) == 1);
}

TEST_CASE("the hypercall page needs a guest that says what it is", "[hyperv]") {
    Partition p;
    CHECK(p.write(msr::kHypercall, 0x1001) == MsrResult::Handled);
    CHECK(p.read(msr::kHypercall) == 0x1000);
    CHECK(p.hv.hypercall(0, 0x5c, 0, 0).invalid_opcode);
    CHECK(p.hv.counters().hypercalls_while_disabled == 1);

    p.enable_hypercalls();
    u8 const code[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x01, 0xd9, 0xc3, 0xcc};
    CHECK(std::memcmp(p.ram.raw(Gpa{0x1000}), code, sizeof code) == 0);
    CHECK(p.ram.at<u8>(0x1fff) == 0xcc);
    CHECK(p.ram.at<u8>(0x2000) == 0);

    SECTION("losing the identity turns it off") {
        p.write(msr::kGuestOsId, 0);
        CHECK_FALSE(p.hv.hypercalls_enabled());
        CHECK(p.hv.hypercall(0, 0x5c, 0, 0).invalid_opcode);
    }
    SECTION("a page that is not RAM is refused and changes nothing") {
        CHECK(p.write(msr::kHypercall, Partition::kRamPages << 12 | 1) == MsrResult::Fault);
        CHECK(p.read(msr::kHypercall) == 0x1001);
    }
    SECTION("a locked register keeps its value") {
        p.write(msr::kHypercall, 0x1003);
        CHECK(p.write(msr::kHypercall, 0x2001) == MsrResult::Fault);
        CHECK(p.read(msr::kHypercall) == 0x1003);
        p.hv.reset();
        CHECK(p.read(msr::kHypercall) == 0);
    }
}

TEST_CASE("the reference TSC page tells the same time as the counter", "[hyperv]") {
    Partition p;
    p.clock.hz = GENERATE(1'000'000'000ull, 2'000'000'000ull, 3'410'000'000ull);
    p.clock.reference = 123'456'789;
    p.write(msr::kReferenceTsc, 0x3001);
    auto const& page = p.ram.at<ReferenceTscPage>(0x3000);
    REQUIRE(page.sequence != 0);
    for (u64 later :
         {0ull, 10ull, 10'000'000ull, 36'000'000'000ull, 315'360'000'000'000ull}) { // up to a year
        p.clock.reference = 123'456'789 + later;
        u64 const told = scaled_tsc(p.clock.guest_tsc(), page.scale) + static_cast<u64>(page.offset);
        CHECK(told <= p.clock.reference + 1);
        CHECK(told + 2 >= p.clock.reference);
    }
    u32 const before = page.sequence;
    p.hv.refresh_reference_page();
    CHECK(page.sequence != before);
    CHECK(p.write(msr::kReferenceTsc, 0xfff'0000'0001) == MsrResult::Handled); // nowhere: no page, no fault
    CHECK(p.hv.counters().page_errors == 1);
    CHECK(p.read(msr::kReferenceTsc) == 0xfff'0000'0001);
}

TEST_CASE("the scale is exact", "[hyperv]") {
    u64 const hz = GENERATE(10'000'001ull, 19'200'000ull, 999'999'999ull, 2'803'200'000ull, ~0ull);
    auto const exact = (static_cast<unsigned __int128>(10'000'000) << 64) / hz;
    CHECK(reference_scale(hz) == static_cast<u64>(exact));
}

TEST_CASE("a panic's text reaches the operator without control characters", "[hyperv]") {
    Partition p;
    CHECK((p.read(msr::kCrashCtl) >> 62) == 3);
    std::string const text = "Kernel panic\n\x1b[2Jcaf\xc3\xa9";
    std::memcpy(p.ram.raw(Gpa{0x7ff8}), text.data(), text.size()); // across a page
    for (u32 i = 0; i < 5; ++i)
        p.write(msr::kCrashP0 + i, i + 100);
    p.write(msr::kCrashP0 + 3, 0x7ff8);
    p.write(msr::kCrashP0 + 4, text.size());
    SECTION("with text") {
        p.write(msr::kCrashCtl, 3ull << 62);
        REQUIRE(p.sinks.crashes.size() == 1);
        CHECK(p.sinks.crashes[0] == "Kernel panic..[2Jcaf.."); // one line: none of it looks like ours
        CHECK(p.sinks.parameters[1] == 101);
    }
    SECTION("parameters only") {
        p.write(msr::kCrashCtl, 1ull << 63);
        REQUIRE(p.sinks.crashes.size() == 1);
        CHECK(p.sinks.crashes[0].empty());
    }
    SECTION("a length that lies") {
        p.write(msr::kCrashP0 + 4, ~0ull);
        p.write(msr::kCrashCtl, 3ull << 62);
        REQUIRE(p.sinks.crashes.size() == 1);
        CHECK(p.sinks.crashes[0].size() == 4096);
    }
    SECTION("text that is nowhere") {
        p.write(msr::kCrashP0 + 3, ~0ull << 12);
        p.write(msr::kCrashCtl, 3ull << 62);
        REQUIRE(p.sinks.crashes.size() == 1);
        CHECK(p.sinks.crashes[0].empty());
        CHECK(p.hv.counters().page_errors == 1);
    }
    SECTION("no notification, no report") {
        p.write(msr::kCrashCtl, 0);
        CHECK(p.sinks.crashes.empty());
    }
}

TEST_CASE("reset brings back power-on values", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    p.enable_synic();
    p.write(msr::kStimer0Config, 0x1ed9);
    p.write(msr::kStimer0Count, p.clock.reference + 100);
    p.write(msr::kVpAssistPage, 0x8001);
    p.write(msr::kCrashP0, 1);
    p.write(msr::kReferenceTsc, 0x3001);
    u8 const payload[8] = {};
    p.hv.post_message(0, 2, 1, payload);
    p.hv.post_message(0, 2, 1, payload);
    p.hv.reset();
    for (u32 index :
         {msr::kGuestOsId, msr::kHypercall, msr::kReferenceTsc, msr::kVpAssistPage, msr::kScontrol,
          msr::kSiefp, msr::kSimp, msr::kStimer0Config, msr::kStimer0Count, msr::kCrashP0}) {
        CAPTURE(index);
        CHECK(p.read(index) == 0);
    }
    CHECK(p.read(msr::kSint0 + 2) == 0x10000);
    CHECK(p.hv.next_deadline(0) == kNever);
    CHECK(p.hv.message_room() == MessagePool::kMessages);
}
