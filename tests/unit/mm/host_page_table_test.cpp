// SPDX-License-Identifier: Apache-2.0
#include "hv/mm/host_page_table.hpp"
#include "tests/fakes/arena_frames.hpp"
#include <catch2/catch.hpp>
#include <optional>
#include <random>

using namespace hv;
using namespace hv::mm;
using hv::test::ArenaFrames;

namespace {
constexpr u64 kDirect = 0xffff'8000'0000'0000, kImage = 0xffff'ffff'8000'0000;

/// What a processor makes of the raw tables: rights are the AND over all levels (SDM vol 3A).
struct Seen {
    u64 page;
    bool write, execute, uncached;
    bool operator==(Seen const&) const = default;
};
std::optional<Seen> processor(ArenaFrames& frames, Hpa root, u64 address) {
    u64 table = root.raw;
    bool write = true, execute = true;
    for (unsigned level = 4; level-- > 0;) {
        u64 const shift = 12 + 9 * level;
        u64 const e = static_cast<u64*>(frames.pointer(Hpa{table}))[(address >> shift) & 511];
        if ((e & 1) == 0) {
            return std::nullopt;
        }
        REQUIRE((e & 4) == 0); // never for user mode
        write = write && (e & 2) != 0;
        execute = execute && (e >> 63) == 0;
        u64 const target = e & 0x000f'ffff'ffff'f000;
        if (level == 0 || (e & 0x80) != 0) {
            REQUIRE(level != 3);
            REQUIRE(target % (1ull << shift) == 0);
            return Seen{target + (address & ((1ull << shift) - 1) & ~0xfffull), write, execute,
                        (e & 0x18) == 0x18};
        }
        table = target;
    }
    return std::nullopt;
}
struct Bed {
    explicit Bed(bool huge = true, usize count = 64) : frames{count}, table{frames, huge} {
        REQUIRE(table.valid());
    }
    auto at(u64 address) { return processor(frames, table.root(), address); }
    ArenaFrames frames;
    HostPageTable table;
};
} // namespace

TEST_CASE("each kind of access is what the processor sees, and none is both written and executed",
          "[mm][host]") {
    Bed b;
    REQUIRE(b.table.map(Hva{kImage}, Hpa{0x20'0000}, 0x3000, HostAccess::ReadExecute).ok());
    REQUIRE(b.table.map(Hva{kImage + 0x3000}, Hpa{0x20'3000}, 0x1000, HostAccess::Read).ok());
    REQUIRE(b.table.map(Hva{kImage + 0x4000}, Hpa{0x20'4000}, 0x1000, HostAccess::ReadWrite).ok());
    REQUIRE(b.table
                .map(Hva{kDirect + 0xfee0'0000}, Hpa{0xfee0'0000}, 0x1000, HostAccess::ReadWrite,
                     HostCache::Uncached)
                .ok());
    CHECK(b.at(kImage + 0x2fff) == Seen{0x20'2000, false, true, false});
    CHECK(b.at(kImage + 0x3000) == Seen{0x20'3000, false, false, false});
    CHECK(b.at(kImage + 0x4000) == Seen{0x20'4000, true, false, false});
    CHECK(b.at(kDirect + 0xfee0'0000) == Seen{0xfee0'0000, true, false, true});
    CHECK_FALSE(b.at(kImage + 0x5000));
    CHECK_FALSE(b.at(kImage - 1));
    CHECK_FALSE(b.at(0));
    CHECK(b.table.lookup(Hva{kDirect + 0xfee0'0123}).value().cache == HostCache::Uncached);
    CHECK(b.table.lookup(Hva{kImage + 0x3000}).value().access == HostAccess::Read);
    CHECK(b.table.lookup(Hva{kImage}).value().access == HostAccess::ReadExecute);
}

TEST_CASE("large pages are used wherever both addresses allow", "[mm][host]") {
    bool const huge = GENERATE(true, false);
    Bed b{huge};
    REQUIRE(
        b.table.map(Hva{kDirect + 2 * MiB - 0x1000}, Hpa{2 * MiB - 0x1000}, 3 * GiB, HostAccess::ReadWrite)
            .ok());
    auto const bytes = [&](u64 at) { return b.table.lookup(Hva{kDirect + at}).value().bytes; };
    CHECK(bytes(2 * MiB - 0x1000) == kPageBytes);
    CHECK(bytes(2 * MiB) == kLargePageBytes);
    CHECK(bytes(1 * GiB) == (huge ? kHugePageBytes : kLargePageBytes));
    CHECK(bytes(3 * GiB - 2 * MiB) == (huge ? kHugePageBytes : kLargePageBytes));
    CHECK(bytes(3 * GiB) == kPageBytes); // 4 KiB short of a large one
    CHECK(bytes(3 * GiB + 2 * MiB - 0x2000) == kPageBytes);
    CHECK_FALSE(b.table.lookup(Hva{kDirect + 3 * GiB + 2 * MiB - 0x1000}).ok());
    std::mt19937_64 random{5};
    for (int i = 0; i < 2000; ++i) {
        u64 const at = align_down(2 * MiB - 0x1000 + random() % (3 * GiB), kPageBytes);
        REQUIRE(b.at(kDirect + at) == Seen{at, true, false, false});
    }
    CHECK(b.frames.live() == b.table.table_frames());
    // Not congruent: small pages only.
    REQUIRE(b.table.map(Hva{kImage}, Hpa{0x1000}, 4 * MiB, HostAccess::Read).ok());
    CHECK(b.table.lookup(Hva{kImage}).value().bytes == kPageBytes);
    CHECK(b.at(kImage + 2 * MiB) == Seen{2 * MiB + 0x1000, false, false, false});
}

TEST_CASE("a guard page is a hole in a large page, and its neighbours stay", "[mm][host]") {
    Bed b;
    REQUIRE(b.table.map(Hva{kDirect}, Hpa{0}, 2 * GiB, HostAccess::ReadWrite).ok());
    u64 const guard = 1 * GiB + 6 * MiB + 0x5000;
    REQUIRE(b.table.unmap(Hva{kDirect + guard}, kPageBytes).ok());
    CHECK_FALSE(b.at(kDirect + guard));
    CHECK_FALSE(b.at(kDirect + guard + 0xfff));
    for (u64 at : {guard - 0x1000, guard + 0x1000, 1 * GiB, 1 * GiB + 8 * MiB, 2 * GiB - 0x1000, u64{0}}) {
        CHECK(b.at(kDirect + at) == Seen{at, true, false, false});
    }
    CHECK(b.table.unmap(Hva{kDirect + guard}, kPageBytes).error() == HostMapError::NotMapped);
    CHECK(b.table.unmap(Hva{kDirect + guard - 0x1000}, 0x3000).error() == HostMapError::NotMapped);
    CHECK(b.at(kDirect + guard - 0x1000));
    REQUIRE(b.table.unmap(Hva{kDirect}, kPageBytes).ok()); // null through the direct map
    CHECK_FALSE(b.at(kDirect));
    // What was cut out may be mapped again, with other rights, also through a table that is empty by now.
    REQUIRE(b.table.map(Hva{kDirect + guard}, Hpa{0x7000}, kPageBytes, HostAccess::Read).ok());
    CHECK(b.at(kDirect + guard) == Seen{0x7000, false, false, false});
    REQUIRE(b.table.unmap(Hva{kDirect + 1 * GiB + 6 * MiB}, 2 * MiB).ok());
    REQUIRE(b.table.map(Hva{kDirect + 1 * GiB + 6 * MiB}, Hpa{8 * MiB}, 2 * MiB, HostAccess::Read).ok());
    CHECK(b.at(kDirect + guard) == Seen{8 * MiB + 0x5000, false, false, false});
}

TEST_CASE("what is mapped is not mapped over, and nothing changes", "[mm][host]") {
    Bed b;
    REQUIRE(b.table.map(Hva{kImage + 4 * MiB}, Hpa{4 * MiB}, 0x1000, HostAccess::ReadExecute).ok());
    u64 const live = b.frames.live();
    auto const r = b.table.map(Hva{kImage}, Hpa{0}, 8 * MiB, HostAccess::ReadWrite);
    REQUIRE_FALSE(r.ok());
    CHECK(r.error() == HostMapError::AlreadyMapped);
    CHECK_FALSE(b.at(kImage));
    CHECK(b.at(kImage + 4 * MiB) == Seen{4 * MiB, false, true, false});
    CHECK(b.frames.live() == live);
}

TEST_CASE("addresses that cannot be are refused", "[mm][host]") {
    Bed b;
    auto const error = [&](u64 hva, u64 hpa, u64 bytes) {
        return b.table.map(Hva{hva}, Hpa{hpa}, bytes, HostAccess::Read).error();
    };
    CHECK(error(kImage + 1, 0, 0x1000) == HostMapError::BadAddress);
    CHECK(error(kImage, 1, 0x1000) == HostMapError::BadAddress);
    CHECK(error(kImage, 0, 0x1001) == HostMapError::BadAddress);
    CHECK(error(kImage, 0, 0) == HostMapError::BadAddress);
    CHECK(error(0x8000'0000'0000, 0, 0x1000) == HostMapError::BadAddress);
    CHECK(error(0x7fff'ffff'f000, 0, 0x2000) == HostMapError::BadAddress);
    CHECK(error(0x7fff'ffff'f000, 0, ~0xfffull) == HostMapError::BadAddress);
    CHECK(error(kImage, 1ull << 52, 0x1000) == HostMapError::BadAddress);
    CHECK(error(kImage, (1ull << 52) - 0x1000, 0x2000) == HostMapError::BadAddress);
    REQUIRE(
        b.table.map(Hva{0 - 0x1000ull}, Hpa{0x5000}, 0x1000, HostAccess::Read).ok()); // the very last page
    CHECK(b.at(~0ull) == Seen{0x5000, false, false, false});
    REQUIRE(b.table.unmap(Hva{0 - 0x1000ull}, 0x1000).ok());
    CHECK_FALSE(b.at(~0ull));
    CHECK(b.table.lookup(Hva{1ull << 50}).error() == HostMapError::BadAddress);
}

TEST_CASE("running out of frames is an error at every step, and a failed unmap changes nothing",
          "[mm][host]") {
    for (usize allowed = 1; allowed < 4; ++allowed) {
        Bed b{true, 64};
        b.frames.limit = allowed;
        CHECK(b.table.map(Hva{kImage}, Hpa{0x1000}, 0x1000, HostAccess::Read).error() ==
              HostMapError::OutOfFrames);
        CHECK_FALSE(b.at(kImage));
        b.frames.limit = 4;
        CHECK(b.table.map(Hva{kImage}, Hpa{0x1000}, 0x1000, HostAccess::Read).ok());
    }
    Bed b;
    REQUIRE(b.table.map(Hva{kDirect}, Hpa{0}, 1 * GiB, HostAccess::ReadWrite).ok());
    b.frames.limit = b.frames.live() + 1;
    CHECK(b.table.unmap(Hva{kDirect + 0x5000}, 0x1000).error() == HostMapError::OutOfFrames);
    CHECK(b.at(kDirect + 0x5000) == Seen{0x5000, true, false, false});
    ArenaFrames none{1};
    none.limit = 0;
    CHECK_FALSE(HostPageTable{none, true}.valid());
}
