// SPDX-License-Identifier: Apache-2.0
#include "hv/core/guest_msrs.hpp"
#include <catch2/catch.hpp>
#include <set>

using namespace hv;

namespace {
constexpr u32 kMtrrCap = 0xfe, kDefaultType = 0x2ff, kVariable = 0x200, kFixed64K = 0x250;
}

TEST_CASE("firmware left all memory write-back", "[guest-msrs]") {
    GuestMsrs const msrs;
    CHECK(msrs.read(kDefaultType) == (1u << 11 | 6));
    CHECK(msrs.read(kFixed64K) == 0x0606'0606'0606'0606);
    for (u32 i = 0; i < 16; ++i) {
        CHECK(msrs.read(kVariable + i) == 0u);
    }
    u64 const capabilities = *msrs.read(kMtrrCap);
    CHECK((capabilities & 0xff) == 8); // as many pairs as can be read
    CHECK_FALSE(msrs.read(kVariable + 16));
    CHECK((capabilities >> 8 & 1) == 1);
}

TEST_CASE("MTRRs keep what is legal and refuse what is not", "[guest-msrs]") {
    GuestMsrs msrs;
    CHECK(msrs.write(kVariable, 0xc000'0000));
    CHECK(msrs.write(kVariable + 1, 0xff'c000'0800));
    CHECK(msrs.read(kVariable) == 0xc000'0000);
    CHECK(msrs.read(kVariable + 1) == 0xff'c000'0800);
    for (u64 type : {2, 3, 7, 255}) {
        CHECK_FALSE(msrs.write(kVariable + 14, type));
        CHECK_FALSE(msrs.write(kDefaultType, type));
        CHECK_FALSE(msrs.write(kFixed64K, type << 56));
        CHECK_FALSE(msrs.write(kFixed64K, type));
    }
    for (u64 type : {0, 1, 4, 5, 6}) {
        CHECK(msrs.write(kVariable + 14, type));
        CHECK(msrs.write(kDefaultType, 1u << 11 | 1u << 10 | type));
        CHECK(msrs.write(kFixed64K, type * 0x0101'0101'0101'0101));
        CHECK(msrs.read(kFixed64K) == type * 0x0101'0101'0101'0101);
    }
    CHECK_FALSE(msrs.write(kDefaultType, 1u << 12 | 6));
    CHECK(msrs.read(kDefaultType) == (1u << 11 | 1u << 10 | 6)); // a refused write changes nothing
    CHECK_FALSE(msrs.write(kMtrrCap, 0));
}

TEST_CASE("all eleven fixed ranges are there, and no others", "[guest-msrs]") {
    GuestMsrs msrs;
    std::set<u32> const fixed{0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    u64 value = 0;
    for (u32 index = 0x210; index < 0x2ff; ++index) {
        if (index == 0x277) {
            continue;
        } // PAT lives with the processor's state
        CHECK(msrs.read(index).has_value() == fixed.contains(index));
        CHECK(msrs.write(index, 0x0101'0101'0101'0101 * (value++ % 2)) == fixed.contains(index));
    }
}

TEST_CASE("VMX is locked off", "[guest-msrs]") {
    GuestMsrs msrs;
    CHECK(msrs.read(0x3a) == 1u);
    CHECK_FALSE(msrs.write(0x3a, 5));
    for (u32 vmx = 0x480; vmx < 0x493; ++vmx) {
        CHECK_FALSE(msrs.read(vmx));
    }
    CHECK_FALSE(msrs.read(0xc001'0114));     // VM_CR
    CHECK_FALSE(msrs.write(0xc001'0117, 0)); // VM_HSAVE_PA
}

TEST_CASE("what kernels probe is answered", "[guest-msrs]") {
    GuestMsrs msrs;
    CHECK(msrs.read(0x17) == 0u);    // platform id
    CHECK(msrs.read(0x8b) == 0u);    // microcode revision
    CHECK(msrs.write(0x8b, 0));      // written before it is read on Intel
    CHECK(msrs.write(0x79, 0x1234)); // an update is ignored
    CHECK(msrs.read(0x1d9) == 0u);   // debug control
    CHECK(msrs.write(0x1d9, 1));
    CHECK(msrs.read(0x1d9) == 0u); // no last-branch records
    CHECK_FALSE(msrs.write(0x1d9, 1ull << 16));
    CHECK(msrs.read(0x1a0) == 1u); // fast strings
    CHECK(msrs.write(0x1a0, 0));
    CHECK(msrs.read(0x1a0) == 0u);
    CHECK(*msrs.read(0xc001'1029) == 2); // LFENCE serialises: kernels then use it
    CHECK(msrs.write(0xc001'1029, 0));
    CHECK(*msrs.read(0xc001'1029) == 2);
    CHECK(msrs.read(0xc001'0010) == 0u); // SYSCFG: no memory encryption
}

TEST_CASE("everything else is #GP", "[guest-msrs]") {
    GuestMsrs msrs;
    for (u32 index : {0u, 0x10u, 0x38du, 0xc1u, 0x186u, 0x1b0u, 0x570u, 0x6e0u, 0x9ffu, 0xc000'0080u,
                      0xc000'0102u, 0xc001'0000u, 0xc001'0200u, 0x4000'0000u, 0xffff'ffffu}) {
        CAPTURE(index);
        CHECK_FALSE(msrs.read(index));
        CHECK_FALSE(msrs.write(index, 0));
    }
}

TEST_CASE("a reset forgets what was written", "[guest-msrs]") {
    GuestMsrs msrs, fresh;
    CHECK(msrs.write(kVariable, 6));
    CHECK(msrs.write(kDefaultType, 0));
    CHECK(msrs.write(kFixed64K, 0));
    CHECK(msrs.write(0x1a0, 7));
    CHECK(msrs.write(0xc001'0015, 7));
    msrs.reset();
    for (u32 index : {kVariable, kDefaultType, kFixed64K, 0x1a0u, 0xc001'0015u}) {
        CHECK(msrs.read(index) == fresh.read(index));
    }
}
