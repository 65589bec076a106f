// SPDX-License-Identifier: Apache-2.0
// The loader's page tables, judged by walking them as the processor would.
#include "boot/efi/page_tables.hpp"

#include "boot/handoff/boot_info.hpp"
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

using namespace ballast::loader;
using namespace ballast::handoff;

namespace {
struct Arena {
    explicit Arena(std::size_t pages)
        : bytes(pages * kPageBytes), memory(std::aligned_alloc(kPageBytes, bytes)) {
        std::memset(memory, 0, bytes);
    }
    Arena(Arena const&) = delete;
    Arena& operator=(Arena const&) = delete;
    ~Arena() { std::free(memory); }
    std::span<std::byte> span() { return {static_cast<std::byte*>(memory), bytes}; }

    std::size_t bytes;
    void* memory;
};

/// SDM vol 3A, "4-Level Paging": the physical address `address` reaches, if any.
std::optional<std::uint64_t> walk(std::uint64_t root, std::uint64_t address) {
    std::uint64_t table = root;
    for (int shift = 39; shift >= 12; shift -= 9) {
        std::uint64_t const entry = reinterpret_cast<std::uint64_t const*>(table)[(address >> shift) & 511];
        if ((entry & 3) != 3) return std::nullopt;
        std::uint64_t const frame = entry & 0x000f'ffff'ffff'f000;
        std::uint64_t const page_bytes = 1ull << shift;
        if (shift == 12 || (entry & 0x80) != 0) {
            REQUIRE(frame % page_bytes == 0);
            REQUIRE(shift != 39);
            return frame | (address & (page_bytes - 1));
        }
        table = frame;
    }
    return std::nullopt;
}
} // namespace

TEST_CASE("memory is mapped twice and the image where it is linked", "[boot][paging]") {
    bool const giant = GENERATE(false, true);
    std::uint64_t const limit = GENERATE(4ull << 30, 24ull << 30, 513ull << 30);
    PageTablePlan const plan{limit, 0x3e200000, 0x203000, giant};
    Arena arena{page_table_pages(plan)}; // exact: ASan sees one page too many
    std::uint64_t const root = build_page_tables(plan, arena.span());
    REQUIRE(root != 0);
    std::vector<std::uint64_t> const samples{0,          0x1fffff,  0x200000, 0xfee00030, (1ull << 30) - 1,
                                             3ull << 30, limit - 1, limit / 2};
    for (std::uint64_t const physical : samples) {
        CHECK(walk(root, physical) == physical);
        CHECK(walk(root, kDirectMapBase + physical) == physical);
    }
    CHECK_FALSE(walk(root, limit));
    CHECK_FALSE(walk(root, kDirectMapBase + limit));
    for (std::uint64_t const offset : {0ull, 0xfffull, 0x1fffffull, 0x200000ull, 0x202fffull})
        CHECK(walk(root, kImageBase + offset) == plan.image_base + offset);
    CHECK_FALSE(walk(root, kImageBase + plan.image_bytes));
    CHECK_FALSE(walk(root, kImageBase - 1));
}

TEST_CASE("a small arena or an impossible plan is refused", "[boot][paging]") {
    PageTablePlan plan{4ull << 30, 0x200000, 0x1000, true};
    Arena arena{page_table_pages(plan)};
    CHECK(build_page_tables(plan, arena.span().first(arena.bytes - kPageBytes)) == 0);
    SECTION("limit not whole") {
        plan.physical_limit += 4096;
    }
    SECTION("limit too high") {
        plan.physical_limit = 128ull << 40;
    }
    SECTION("no limit") {
        plan.physical_limit = 0;
    }
    SECTION("image not page aligned") {
        plan.image_base += 1;
    }
    SECTION("no image") {
        plan.image_bytes = 0;
    }
    SECTION("image too large") {
        plan.image_bytes = (1ull << 30) + 4096;
    }
    CHECK(page_table_pages(plan) == 0);
    CHECK(build_page_tables(plan, arena.span()) == 0);
}

TEST_CASE("the highest address that fits beside the image can be mapped", "[boot][paging]") {
    PageTablePlan const plan{255ull << 39, 0x200000, 0x1000, true};
    Arena arena{page_table_pages(plan)};
    std::uint64_t const root = build_page_tables(plan, arena.span());
    REQUIRE(root != 0);
    CHECK(walk(root, kDirectMapBase + plan.physical_limit - 1) == plan.physical_limit - 1);
    CHECK(walk(root, kImageBase) == plan.image_base);
}

TEST_CASE("at least 4 GiB are mapped, in whole GiB", "[boot][paging]") {
    CHECK(physical_limit_for(0x40000000) == 4ull << 30);
    CHECK(physical_limit_for(4ull << 30) == 4ull << 30);
    CHECK(physical_limit_for((4ull << 30) + 1) == 5ull << 30);
}
