// SPDX-License-Identifier: Apache-2.0
// The hand-over's memory map: sorted, disjoint, merged, strict where the firmware contradicts itself. A
// page-by-page model checks the interval arithmetic.
#include "boot/efi/memory_map.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

using namespace ballast::loader;
using ballast::handoff::MemoryKind;
using ballast::handoff::MemoryRange;

namespace {
struct Described {
    std::uint32_t type;
    std::uint64_t base;
    std::uint64_t pages;
};

/// As GetMemoryMap returns it, with a stride that is not the structure's size.
struct Table {
    static constexpr std::size_t kStride = 48;
    std::vector<std::byte> bytes;

    explicit Table(std::vector<Described> const& list) : bytes(list.size() * kStride, std::byte{0xee}) {
        for (std::size_t i = 0; i < list.size(); i++) {
            EfiDescriptor const descriptor{list[i].type, 0, list[i].base, 0, list[i].pages, 15};
            std::memcpy(bytes.data() + i * kStride, &descriptor, sizeof descriptor);
        }
    }
    EfiDescriptors view() const { return {bytes, kStride}; }
};

void check_range(MemoryRange const& range, std::uint64_t base, std::uint64_t end, MemoryKind kind) {
    CHECK(range.base == base);
    CHECK(range.base + range.bytes == end);
    CHECK(range.kind == kind);
}

MemoryKind kind_at(MemoryMap const& map, std::uint64_t page) {
    for (MemoryRange const& range : map.ranges())
        if (page * 4096 >= range.base && page * 4096 < range.base + range.bytes) return range.kind;
    return MemoryKind{};
}
} // namespace

TEST_CASE("boot services' memory and free memory become one usable range", "[boot][map]") {
    Table const table{{{7, 0x100000, 16},
                       {4, 0x110000, 16},
                       {3, 0x120000, 16},
                       {2, 0x130000, 1},
                       {9, 0x131000, 1},
                       {10, 0x132000, 1},
                       {6, 0x133000, 1},
                       {0, 0x134000, 1},
                       {11, 0xfec00000, 1},
                       {7, 0, 159}}};
    auto map = std::make_unique<MemoryMap>();
    map->paint(table.view());
    REQUIRE(map->ranges().size() == 6);
    check_range(map->ranges()[0], 0, 0x9f000, MemoryKind::Usable);
    check_range(map->ranges()[1], 0x100000, 0x130000, MemoryKind::Usable);
    check_range(map->ranges()[2], 0x130000, 0x131000, MemoryKind::Loader);
    check_range(map->ranges()[3], 0x131000, 0x133000, MemoryKind::Acpi);
    check_range(map->ranges()[4], 0x133000, 0x135000, MemoryKind::Firmware);
    check_range(map->ranges()[5], 0xfec00000, 0xfec01000, MemoryKind::Mmio);
    CHECK(map->usable_bytes() == 0x9f000 + 0x31000);
}

TEST_CASE("a page described twice is believed in the stricter sense, in either order", "[boot][map]") {
    for (bool const free_first : {false, true}) {
        std::vector<Described> list{{6, 0x102000, 2}, {7, 0x100000, 8}};
        if (free_first) std::swap(list[0], list[1]);
        auto map = std::make_unique<MemoryMap>();
        map->paint(Table{list}.view());
        REQUIRE(map->ranges().size() == 3);
        check_range(map->ranges()[1], 0x102000, 0x104000, MemoryKind::Firmware);
    }
}

TEST_CASE("unknown, persistent and unaccepted memory is the firmware's", "[boot][map]") {
    for (std::uint32_t const type : {0u, 8u, 13u, 14u, 15u, 0x80000001u})
        CHECK(kind_of_efi_type(type) == MemoryKind::Firmware);
}

TEST_CASE("an image is cut out of loader memory and widened to whole pages", "[boot][map]") {
    auto map = std::make_unique<MemoryMap>();
    map->paint(Table{{{2, 0x200000, 16}}}.view());
    map->paint(0x204000, 0x1001, MemoryKind::Image);
    map->paint(0x208000, 0, MemoryKind::Image);
    REQUIRE(map->ranges().size() == 3);
    check_range(map->ranges()[0], 0x200000, 0x204000, MemoryKind::Loader);
    check_range(map->ranges()[1], 0x204000, 0x206000, MemoryKind::Image);
    check_range(map->ranges()[2], 0x206000, 0x210000, MemoryKind::Loader);
    CHECK(map->usable_bytes() == 0x10000);
}

TEST_CASE("any order of painting agrees with a page-by-page model", "[boot][map]") {
    std::mt19937 random{1}; // NOLINT: the same run each time
    constexpr std::uint64_t kPages = 200;
    for (int round = 0; round < 200; round++) {
        auto map = std::make_unique<MemoryMap>();
        std::vector<MemoryKind> model(kPages, MemoryKind{});
        for (int step = 0; step < 40; step++) {
            std::uint64_t const first = random() % kPages;
            std::uint64_t const count = 1 + random() % (kPages - first);
            auto const kind = static_cast<MemoryKind>(1 + random() % 6);
            map->paint(first * 4096, count * 4096, kind);
            std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(first), count, kind);
        }
        for (std::uint64_t page = 0; page < kPages; page++)
            REQUIRE(kind_at(*map, page) == model[page]);
        auto const ranges = map->ranges();
        for (std::size_t i = 1; i < ranges.size(); i++) {
            REQUIRE(ranges[i - 1].base + ranges[i - 1].bytes <= ranges[i].base);
            bool const joined = ranges[i - 1].base + ranges[i - 1].bytes == ranges[i].base;
            REQUIRE((!joined || ranges[i - 1].kind != ranges[i].kind));
        }
    }
}

TEST_CASE("the map's end is the end of RAM, not of what lies far above it", "[boot][map]") {
    CHECK(end_of_ram(Table{
              {{7, 0x100000, 0x100}, {9, 0x200000, 1}, {0, 0xfd00000000, 0x3000000}, {11, 0xfec00000, 1}}}
                         .view()) == 0x201000);
}

TEST_CASE("lying descriptors do not wrap", "[boot][map]") {
    auto map = std::make_unique<MemoryMap>();
    Table const table{{{7, 0x100000, ~0ull}, {7, ~0ull - 4095, 16}}};
    map->paint(table.view());
    REQUIRE(map->ranges().size() == 1);
    check_range(map->ranges()[0], 0x100000, 1ull << 52, MemoryKind::Usable);
    CHECK(end_of_ram(table.view()) == 1ull << 52);
    CHECK(EfiDescriptors{table.bytes, 0}.count() == 0);
}

TEST_CASE("a list that is too long loses the smallest usable ranges and nothing else", "[boot][map]") {
    auto map = std::make_unique<MemoryMap>();
    map->paint(0x10000, 0x1000, MemoryKind::Usable);
    map->paint(0x20000, 0x4000, MemoryKind::Usable);
    map->paint(0x30000, 0x1000, MemoryKind::Firmware);
    std::vector<MemoryRange> out(2);
    REQUIRE(map->write_to(out) == 2u);
    check_range(out[0], 0x20000, 0x24000, MemoryKind::Usable);
    check_range(out[1], 0x30000, 0x31000, MemoryKind::Firmware);
    map->paint(0x40000, 0x1000, MemoryKind::Acpi);
    map->paint(0x50000, 0x1000, MemoryKind::Image);
    CHECK_FALSE(map->write_to(out).has_value());
}

TEST_CASE("more ranges than can be tracked are noticed", "[boot][map]") {
    auto map = std::make_unique<MemoryMap>();
    for (std::uint64_t i = 0; i < 3000; i++)
        map->paint(i * 0x2000, 0x1000, MemoryKind::Firmware);
    CHECK(map->overflowed());
}
