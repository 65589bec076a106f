// SPDX-License-Identifier: Apache-2.0
// Which values control registers take: the #GP conditions of the manuals, one by one.
#include "hv/core/control_registers.hpp"
#include <catch2/catch.hpp>

using namespace hv;

namespace {
constexpr u64 kCr0 = cr0::kPe | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kPg;
constexpr u64 kAllowedCr4 = 0x7ff | cr4::kPcide | cr4::kSmep | cr4::kOsxsave;
constexpr u64 kAllowedEfer = efer::kSce | efer::kLme | efer::kLma | efer::kNxe;

/// A 64-bit kernel at work.
constexpr ControlState kLong{kCr0, 0x1000, cr4::kPae | cr4::kPge, efer::kLme | efer::kLma | efer::kSce, true};
/// After reset.
constexpr ControlState kReset{cr0::kEt | cr0::kCd | cr0::kNw, 0, 0, 0, false};
} // namespace

TEST_CASE("CR0: upper half, paging without protection, NW without CD", "[control-registers]") {
    CHECK(cr0_write_allowed(kLong, kCr0));
    CHECK_FALSE(cr0_write_allowed(kLong, kCr0 | 1ull << 32));
    CHECK_FALSE(cr0_write_allowed(kReset, cr0::kPg));
    CHECK(cr0_write_allowed(kReset, cr0::kPe));
    CHECK_FALSE(cr0_write_allowed(kReset, cr0::kPe | cr0::kNw));
    CHECK(cr0_write_allowed(kReset, cr0::kPe | cr0::kNw | cr0::kCd));
    CHECK(cr0_write_allowed(kReset, cr0::kPe | cr0::kCd));
}

TEST_CASE("CR0: turning paging on in long mode needs PAE and a 32-bit code segment", "[control-registers]") {
    ControlState s{cr0::kPe, 0x1000, 0, efer::kLme, false};
    CHECK_FALSE(cr0_write_allowed(s, kCr0));
    s.cr4 = cr4::kPae;
    CHECK(cr0_write_allowed(s, kCr0));
    s.cs_long = true;
    CHECK_FALSE(cr0_write_allowed(s, kCr0));
    s = {cr0::kPe, 0x1000, 0, 0, false}; // 32-bit paging needs neither
    CHECK(cr0_write_allowed(s, kCr0));
}

TEST_CASE("CR0: turning paging off is not for 64-bit code or with PCIDs", "[control-registers]") {
    CHECK_FALSE(cr0_write_allowed(kLong, cr0::kPe));
    ControlState compatible = kLong;
    compatible.cs_long = false;
    CHECK(cr0_write_allowed(compatible, cr0::kPe));
    compatible.cr4 |= cr4::kPcide;
    CHECK_FALSE(cr0_write_allowed(compatible, cr0::kPe));
}

TEST_CASE("CR4: bits that this guest does not have", "[control-registers]") {
    CHECK(cr4_write_allowed(kLong, kLong.cr4, kAllowedCr4));
    for (u64 bit : {cr4::kVmxe, cr4::kSmxe, cr4::kPke, cr4::kLa57, cr4::kSmap, cr4::kUmip, u64{1} << 23,
                    u64{1} << 32, u64{1} << 63}) {
        CHECK_FALSE(cr4_write_allowed(kLong, kLong.cr4 | bit, kAllowedCr4));
    }
    CHECK(cr4_write_allowed(kLong, kLong.cr4 | cr4::kSmep | cr4::kOsxsave, kAllowedCr4));
}

TEST_CASE("CR4: PAE stays on in long mode, LA57 stays what it is", "[control-registers]") {
    CHECK_FALSE(cr4_write_allowed(kLong, cr4::kPge, kAllowedCr4));
    CHECK(cr4_write_allowed(kReset, 0, kAllowedCr4));
    CHECK_FALSE(cr4_write_allowed(kLong, kLong.cr4 | cr4::kLa57, kAllowedCr4 | cr4::kLa57));
    CHECK(cr4_write_allowed(kReset, cr4::kLa57, kAllowedCr4 | cr4::kLa57));
}

TEST_CASE("CR4: PCIDE can be set in long mode with PCID 0 only, and kept with any", "[control-registers]") {
    ControlState s = kLong;
    CHECK(cr4_write_allowed(s, s.cr4 | cr4::kPcide, kAllowedCr4));
    s.cr3 = 0x1001;
    CHECK_FALSE(cr4_write_allowed(s, s.cr4 | cr4::kPcide, kAllowedCr4));
    s.cr4 |= cr4::kPcide;
    CHECK(cr4_write_allowed(s, s.cr4 | cr4::kSmep, kAllowedCr4));
    CHECK(cr4_write_allowed(s, s.cr4 & ~cr4::kPcide, kAllowedCr4));
    ControlState const legacy{kCr0, 0x1000, cr4::kPae, 0, false};
    CHECK_FALSE(cr4_write_allowed(legacy, cr4::kPae | cr4::kPcide, kAllowedCr4));
}

TEST_CASE("EFER: unknown bits, and LME while paging", "[control-registers]") {
    CHECK(efer_write_allowed(kLong, kLong.efer, kAllowedEfer));
    CHECK(efer_write_allowed(kLong, kLong.efer | efer::kNxe, kAllowedEfer));
    CHECK_FALSE(efer_write_allowed(kLong, kLong.efer | efer::kSvme, kAllowedEfer));
    CHECK_FALSE(efer_write_allowed(kLong, kLong.efer | 1ull << 63, kAllowedEfer));
    CHECK_FALSE(efer_write_allowed(kLong, kLong.efer & ~efer::kLme, kAllowedEfer));
    CHECK(efer_write_allowed(kReset, efer::kLme, kAllowedEfer));
    ControlState const legacy{kCr0, 0x1000, cr4::kPae, 0, false};
    CHECK_FALSE(efer_write_allowed(legacy, efer::kLme, kAllowedEfer));
}

TEST_CASE("EFER.LMA is the processor's: a guest's write does not change it", "[control-registers]") {
    CHECK(efer_after_write(kLong, efer::kLme) == (efer::kLme | efer::kLma));
    CHECK(efer_after_write(kReset, efer::kLme | efer::kLma) == efer::kLme);
}

TEST_CASE("XCR0: x87 always, AVX only with SSE, nothing else", "[control-registers]") {
    for (u64 value = 0; value < 16; ++value) {
        bool const legal = value == 1 || value == 3 || value == 7;
        CHECK(xcr0_write_allowed(value, 7) == legal);
    }
    CHECK_FALSE(xcr0_write_allowed(7, 3));
    CHECK_FALSE(xcr0_write_allowed(1ull << 63 | 1, 7));
}

TEST_CASE("canonical addresses have 17 equal upper bits", "[control-registers]") {
    CHECK(is_canonical(0));
    CHECK(is_canonical(0x0000'7fff'ffff'ffff));
    CHECK_FALSE(is_canonical(0x0000'8000'0000'0000));
    CHECK_FALSE(is_canonical(0xffff'7fff'ffff'ffff));
    CHECK(is_canonical(0xffff'8000'0000'0000));
    CHECK(is_canonical(~0ull));
    CHECK_FALSE(is_canonical(0x0001'0000'0000'0000));
}

TEST_CASE("RFLAGS: what POPF could change in the kernel, but not VM or reserved bits",
          "[control-registers]") {
    u64 const now = rflags::kReserved1 | rflags::kInterrupt;
    CHECK(rflags_write_allowed(now, now));
    CHECK(rflags_write_allowed(now, 0x247ed7));
    CHECK(rflags_write_allowed(now, 0)); // bit 1 is put back
    for (u64 bit :
         {u64{1} << 3, u64{1} << 5, u64{1} << 15, rflags::kVirtual8086, u64{1} << 22, u64{1} << 31}) {
        CHECK_FALSE(rflags_write_allowed(now, now | bit));
    }
    CHECK_FALSE(rflags_write_allowed(now | rflags::kVirtual8086, now));
    CHECK(rflags_write_allowed(now | rflags::kVirtual8086, now | rflags::kVirtual8086 | rflags::kCarry));
}

TEST_CASE("RIP: canonical in 64-bit code, else 32 bits", "[control-registers]") {
    CHECK(rip_allowed(true, 0xffff'8000'0000'0000));
    CHECK_FALSE(rip_allowed(true, 0x0000'8000'0000'0000));
    CHECK(rip_allowed(false, 0xffff'ffff));
    CHECK_FALSE(rip_allowed(false, 0x1'0000'0000));
    CHECK_FALSE(rip_allowed(false, 0xffff'ffff'8000'0000));
}
