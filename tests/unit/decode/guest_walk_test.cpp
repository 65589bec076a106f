// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/core/guest_walk.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::test;

namespace {
constexpr u64 kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kNx = 1ull << 63;

PagingState long_state() {
    return {.cr0 = cr0::kPg | cr0::kPe | cr0::kWp,
            .cr3 = 0x1000,
            .cr4 = cr4::kPae,
            .efer = efer::kLme | efer::kLma | efer::kNxe,
            .physical_bits = 40};
}
/// 4-level: linear 0x0000_0080_4020_1xxx: index 1 at every level.
constexpr u64 kLinear = (1ull << 39) | (1ull << 30) | (1ull << 21) | (1ull << 12) | 0x123;
void map_4k(FakeMemory& m, u64 leaf_flags, u64 upper = kP | kW | kU) {
    m.put<u64>(0x1008, 0x2000 | upper);
    m.put<u64>(0x2008, 0x3000 | upper);
    m.put<u64>(0x3008, 0x4000 | upper);
    m.put<u64>(0x4008, 0x7000 | leaf_flags);
}
u32 error_of(FakeMemory& m, PagingState const& s, u64 linear, Access a) {
    auto const r = walk(m, s, linear, {.access = a});
    REQUIRE(!r.ok());
    REQUIRE(r.error().kind == WalkFault::Kind::PageFault);
    CHECK(r.error().linear == linear);
    return r.error().error_code;
}
} // namespace

TEST_CASE("without paging an address is itself", "[walk]") {
    FakeMemory m;
    auto const r = walk(m, {}, 0x1'0000'1234, {});
    CHECK(r.value().gpa.raw == 0x1234); // 32-bit linear addresses
}

TEST_CASE("a 4-level walk finds the page and marks it as the processor would", "[walk]") {
    FakeMemory m;
    map_4k(m, kP | kW | kU);
    CHECK(walk(m, long_state(), kLinear, {}).value().gpa.raw == 0x7123);
    CHECK((m.get<u64>(0x4008) & (kA | kD)) == kA);
    CHECK((m.get<u64>(0x1008) & (kA | kD)) == kA);
    CHECK(walk(m, long_state(), kLinear, {.access = Access::W}).ok());
    CHECK((m.get<u64>(0x4008) & (kA | kD)) == (kA | kD));
    CHECK((m.get<u64>(0x3008) & kD) == 0);
}

TEST_CASE("a debugger's walk changes nothing and asks no permission", "[walk]") {
    FakeMemory m;
    map_4k(m, kP);
    auto s = long_state();
    s.cpl = 3;
    auto const before = m.ram;
    CHECK(walk(m, s, kLinear, {.access = Access::W, .set_accessed_dirty = false, .check_permissions = false})
              .ok());
    CHECK(m.ram == before);
}

TEST_CASE("large pages of 2 MiB and 1 GiB translate", "[walk]") {
    FakeMemory m;
    m.put<u64>(0x1008, 0x2000 | kP | kW | kU);
    m.put<u64>(0x2008, 0x3000 | kP | kW | kU);
    m.put<u64>(0x3008, 0x60'0000 | kP | kW | kU | kPs);
    auto const large = walk(m, long_state(), kLinear, {});
    CHECK(large.value().gpa.raw == 0x60'1123);
    CHECK(large.value().page_bytes == kLargePageBytes);
    m.put<u64>(0x2008, 0x1'4000'0000 | kP | kW | kU | kPs);
    auto const huge = walk(m, long_state(), kLinear, {});
    CHECK(huge.value().gpa.raw == 0x1'4020'1123);
    CHECK(huge.value().page_bytes == kHugePageBytes);
}

TEST_CASE("faults carry the architecture's error codes", "[walk]") {
    FakeMemory m;
    auto s = long_state();
    map_4k(m, 0);
    CHECK(error_of(m, s, kLinear, Access::R) == 0);
    CHECK(error_of(m, s, kLinear, Access::W) == 2);
    CHECK(error_of(m, s, kLinear, Access::X) == 0x10);
    s.cpl = 3;
    CHECK(error_of(m, s, kLinear, Access::R) == 4);
    map_4k(m, kP | kW); // supervisor page
    CHECK(error_of(m, s, kLinear, Access::R) == 5);
    map_4k(m, kP | kU);
    CHECK(error_of(m, s, kLinear, Access::W) == 7);
    CHECK(walk(m, s, kLinear, {}).ok());
    map_4k(m, kP | kU | kNx);
    CHECK(error_of(m, s, kLinear, Access::X) == 0x15);
    map_4k(m, kP | kW | kU, kP | kU); // not writable above
    CHECK(error_of(m, s, kLinear, Access::W) == 7);
}

TEST_CASE("supervisor rules: WP, SMEP, SMAP", "[walk]") {
    FakeMemory m;
    auto s = long_state();
    map_4k(m, kP | kU);
    CHECK(error_of(m, s, kLinear, Access::W) == 3);
    s.cr0 &= ~cr0::kWp;
    CHECK(walk(m, s, kLinear, {.access = Access::W}).ok());
    s.cr4 |= cr4::kSmep;
    CHECK(error_of(m, s, kLinear, Access::X) == 0x11);
    s.cr4 |= cr4::kSmap;
    CHECK(error_of(m, s, kLinear, Access::R) == 1);
    s.alignment_check = true;
    CHECK(walk(m, s, kLinear, {}).ok());
    CHECK(!walk(m, s, kLinear, {.implicit_supervisor = true}).ok());
    s.cpl = 3;
    CHECK(!walk(m, s, kLinear, {.implicit_supervisor = true}).ok());
}

TEST_CASE("reserved bits fault with RSVD", "[walk]") {
    FakeMemory m;
    auto s = long_state();
    map_4k(m, kP | kW | kU | 1ull << 40);
    CHECK(error_of(m, s, kLinear, Access::R) == 9);
    map_4k(m, kP | kW | kU | kNx);
    s.efer &= ~efer::kNxe;
    CHECK(error_of(m, s, kLinear, Access::X) == 9); // no NX: no I/D bit either
    s = long_state();
    map_4k(m, kP | kW | kU);
    m.put<u64>(0x1008, 0x2000 | kP | kW | kU | kPs);
    CHECK(error_of(m, s, kLinear, Access::R) == 9);
    m.put<u64>(0x1008, 0x2000 | kP | kW | kU);
    m.put<u64>(0x3008, 0x20'2000 | kP | kW | kU | kPs);
    CHECK(error_of(m, s, kLinear, Access::R) == 9);
}

TEST_CASE("canonical form is asked for, by the width in force", "[walk]") {
    FakeMemory m;
    auto s = long_state();
    auto const r = walk(m, s, 1ull << 47, {});
    REQUIRE(!r.ok());
    CHECK(r.error().kind == WalkFault::Kind::NonCanonical);
    s.cr4 |= cr4::kLa57;
    m.put<u64>(0x1000, 0x2000 | kP);
    m.put<u64>(0x2000 + 8 * 256, 0x3000 | kP); // bit 47 is bit 8 of the level-4 index
    m.put<u64>(0x3000, 0x4000'0000 | kP | kPs);
    CHECK(walk(m, s, 1ull << 47, {}).value().gpa.raw == 0x4000'0000);
}

TEST_CASE("32-bit tables, with and without 4 MiB pages", "[walk]") {
    FakeMemory m;
    PagingState s{.cr0 = cr0::kPg | cr0::kPe | cr0::kWp, .cr3 = 0x1000};
    u64 const linear = (3u << 22) | (5u << 12) | 0x42;
    m.put<u32>(0x1000 + 3 * 4, 0x2000 | 0x87);
    m.put<u32>(0x2000 + 5 * 4, 0x9000 | 0x3);
    CHECK(walk(m, s, linear, {.access = Access::W}).value().gpa.raw == 0x9042); // PS ignored without CR4.PSE
    CHECK(m.get<u32>(0x2000 + 5 * 4) == (0x9000u | 0x63));
    s.cr4 = cr4::kPse;
    m.put<u32>(0x1000 + 3 * 4, 0x0080'0000 | (0x5 << 13) | 0x87);
    auto const r = walk(m, s, linear, {});
    CHECK(r.value().gpa.raw == (0x5'0000'0000 | 0x0080'5042)); // PSE-36
    m.put<u32>(0x1000 + 3 * 4, 0x0080'0000 | (1 << 21) | 0x87);
    CHECK(error_of(m, s, linear, Access::R) == 9);
    s.cpl = 3;
    m.put<u32>(0x1000 + 3 * 4, 0x0080'0000 | 0x83);
    CHECK(error_of(m, s, linear, Access::X) == 5); // no SMEP, no PAE: no I/D bit
}

TEST_CASE("PAE tables: four top entries without rights", "[walk]") {
    FakeMemory m;
    PagingState s{.cr0 = cr0::kPg | cr0::kPe, .cr3 = 0x1020, .cr4 = cr4::kPae, .efer = efer::kNxe};
    u64 const linear = (2u << 30) | (7u << 21) | (9u << 12) | 1;
    m.put<u64>(0x1020 + 2 * 8, 0x2000 | kP);
    m.put<u64>(0x2000 + 7 * 8, 0x3000 | kP | kW);
    m.put<u64>(0x3000 + 9 * 8, 0x5000 | kP | kW);
    CHECK(walk(m, s, linear, {.access = Access::W}).value().gpa.raw == 0x5001);
    CHECK(m.get<u64>(0x1020 + 2 * 8) == (0x2000 | kP)); // no accessed bit in a PDPTE
    m.put<u64>(0x1020 + 2 * 8, 0);
    CHECK(error_of(m, s, linear, Access::R) == 0);
}

TEST_CASE("tables outside RAM and in ballooned pages are told apart from page faults", "[walk]") {
    FakeMemory m;
    auto s = long_state();
    s.cr3 = 0x8000'0000;
    auto const nowhere = walk(m, s, kLinear, {});
    REQUIRE(!nowhere.ok());
    CHECK(nowhere.error().kind == WalkFault::Kind::TableUnreachable);
    CHECK(nowhere.error().memory == GuestMemoryError::NotRam);
    s = long_state();
    map_4k(m, kP | kW | kU);
    m.ballooned.insert(3);
    auto const gone = walk(m, s, kLinear, {});
    REQUIRE(!gone.ok());
    CHECK(gone.error().memory == GuestMemoryError::Ballooned);
}

TEST_CASE("a read across two pages stops at the one that faults", "[walk]") {
    FakeMemory m;
    map_4k(m, kP | kW | kU);
    auto const s = long_state();
    m.code(0x7ffd, {1, 2, 3});
    u8 bytes[15] = {};
    std::optional<WalkFault> later;
    u64 const at = (kLinear & ~0xfffull) + 0xffd;
    CHECK(read_linear(m, s, at, bytes, {}, later).value() == 3);
    CHECK(bytes[2] == 3);
    REQUIRE(later.has_value());
    CHECK(later->linear == at + 3);
    m.put<u64>(0x4010, 0x9000 | kP);
    m.ram[0x9000] = 4;
    later.reset();
    CHECK(read_linear(m, s, at, bytes, {}, later).value() == 15);
    CHECK(bytes[3] == 4);
    CHECK(!later);
}
