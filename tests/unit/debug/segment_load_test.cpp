// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/segment_load.hpp"
#include "step_bed.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::debug;
using namespace hv::test;

namespace {
// Descriptors as a GDT has them: SDM vol 3A, "Segment Descriptors".
constexpr u64 kCode64 = 0x00af'9b00'0000'ffff, kData = 0x00cf'9300'0000'ffff,
              kUserData = 0x00cf'f300'0000'ffff;
constexpr u64 kReadOnly = 0x00cf'9100'0000'ffff, kExecuteOnly = 0x00cf'9900'0000'ffff,
              kAbsent = 0x00cf'1300'0000'ffff, kTss = 0x0000'8b00'0000'0067,
              kLongAndBig = 0x00ef'9b00'0000'ffff,
              kBased = 0x12cf'9234'5678'ffff; // base 0x12345678, not accessed

struct Bed : StepBed {
    std::optional<Segment> with(Seg which, u16 selector) {
        return segment_with(cpu, memory, system, which, selector);
    }
    u16 put(u64 descriptor) {
        u16 const selector = static_cast<u16>(next_ += 8);
        memory.put<u64>(kGdt + selector, descriptor);
        return selector;
    }

  private:
    u16 next_ = 0x20;
};
} // namespace

TEST_CASE("a selector brings its descriptor's hidden part along", "[debug]") {
    Bed bed;
    bed.long_mode();
    auto const loaded = bed.with(Seg::Fs, bed.put(kBased));
    REQUIRE(loaded);
    CHECK(loaded->base == 0x1234'5678);
    CHECK(loaded->limit == 0xffff'ffff);
    CHECK(loaded->attributes == 0xc93); // accessed
    CHECK(bed.with(Seg::Cs, bed.put(kCode64)));
    CHECK(bed.with(Seg::Ss, bed.put(kData)));
    CHECK(bed.with(Seg::Es, static_cast<u16>(bed.put(kUserData) | 3)));
}

TEST_CASE("what a processor would not take is refused", "[debug]") {
    Bed bed;
    bed.long_mode();
    CHECK_FALSE(bed.with(Seg::Ds, 0x80)); // behind the table
    CHECK_FALSE(bed.with(Seg::Ds, bed.put(kAbsent)));
    CHECK_FALSE(bed.with(Seg::Ds, bed.put(kTss)));
    CHECK_FALSE(bed.with(Seg::Ds, bed.put(kExecuteOnly)));
    CHECK_FALSE(bed.with(Seg::Ds, static_cast<u16>(bed.put(kData) | 3))); // RPL beyond DPL
    CHECK_FALSE(bed.with(Seg::Ss, bed.put(kReadOnly)));
    CHECK_FALSE(bed.with(Seg::Ss, static_cast<u16>(bed.put(kUserData) | 3)));
    CHECK_FALSE(bed.with(Seg::Cs, bed.put(kData)));
    CHECK_FALSE(bed.with(Seg::Cs, bed.put(kLongAndBig)));
    CHECK(bed.with(Seg::Ds, bed.put(kReadOnly)));
}

TEST_CASE("null selectors are for data, and for the stack of a 64-bit kernel", "[debug]") {
    Bed bed;
    bed.long_mode();
    CHECK_FALSE(bed.with(Seg::Cs, 0));
    CHECK(bed.with(Seg::Gs, 3)->attributes == 0);
    CHECK(bed.with(Seg::Ss, 0)->selector == 0);
    CHECK_FALSE(bed.with(Seg::Ss, 3));
    bed.protected_mode();
    CHECK_FALSE(bed.with(Seg::Ss, 0));
    CHECK(bed.with(Seg::Ds, 0));
}

TEST_CASE("in real mode the selector is the base", "[debug]") {
    Bed bed;
    bed.real_mode();
    bed.cpu[Seg::Es] = {0, 0x93, 0xffff, 0};
    auto const loaded = bed.with(Seg::Es, 0xb800);
    REQUIRE(loaded);
    CHECK(loaded->base == 0xb'8000);
    CHECK(loaded->limit == 0xffff);
    CHECK(loaded->attributes == 0x93);
}
