// SPDX-License-Identifier: Apache-2.0
#include "hv/init/boot/boot_record.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <memory>

using namespace hv;
using namespace hv::init;
namespace handoff = ballast::handoff;
using handoff::MemoryKind;
using mm::FrameKind;

namespace {
std::unique_ptr<BootInfo> good_record() {
    auto info = std::make_unique<BootInfo>();
    info->magic = handoff::kMagic;
    info->version = handoff::kVersion;
    info->bytes = sizeof(BootInfo);
    info->cpu_count = 1;
    info->node_count = 1;
    info->ap_trampoline = 0x8000;
    handoff::MemoryRange const map[] = {{0, 0xa0000, MemoryKind::Usable, 0},
                                        {0x100000, 0x100000, MemoryKind::Loader, 0},
                                        {0x200000, 0x600000, MemoryKind::Image, 0},
                                        {0x800000, 0x7800000, MemoryKind::Usable, 0},
                                        {0x8000000, 0x1000, MemoryKind::Acpi, 0},
                                        {0xfee00000, 0x1000, MemoryKind::Mmio, 0},
                                        {0x1'0000'0000, 0x4000'0000, MemoryKind::Usable, 0}};
    info->memory_count = std::size(map);
    std::copy(std::begin(map), std::end(map), info->memory);
    info->hv_image = {0x200000, 0x100000};
    info->hv_file = {0x400000, 123456};
    info->device_tree = {0x500000, 777};
    return info;
}
bool says(std::optional<std::string_view> fault, std::string_view what) {
    return fault && fault->find(what) != std::string_view::npos;
}
} // namespace

TEST_CASE("a sound record has no fault", "[boot_record]") {
    CHECK_FALSE(find_fault(*good_record()));
}

TEST_CASE("a foreign or older loader is told from damage", "[boot_record]") {
    auto info = good_record();
    info->magic ^= 1;
    CHECK(says(find_fault(*info), "signature"));
    info = good_record();
    info->version += 1;
    CHECK(says(find_fault(*info), "versions"));
    info = good_record();
    info->bytes -= 8;
    CHECK(says(find_fault(*info), "versions"));
}

TEST_CASE("counts past the arrays are refused before anything is indexed", "[boot_record]") {
    u32 BootInfo::*const counts[] = {&BootInfo::memory_count, &BootInfo::cpu_count,
                                     &BootInfo::node_range_count, &BootInfo::image_count};
    for (auto count : counts) {
        auto info = good_record();
        (*info).*count = 0xffff'ffff;
        CHECK(says(find_fault(*info), "count"));
    }
    auto info = good_record();
    info->cpu_count = 0;
    CHECK(says(find_fault(*info), "count"));
}

TEST_CASE("a memory map out of order, overlapping or off the page grid is refused", "[boot_record]") {
    auto info = good_record();
    std::swap(info->memory[1], info->memory[2]);
    CHECK(says(find_fault(*info), "memory map"));
    info = good_record();
    info->memory[1].bytes += 0x1000;
    CHECK(says(find_fault(*info), "memory map"));
    info = good_record();
    info->memory[3].base += 1;
    CHECK(says(find_fault(*info), "memory map"));
    info = good_record();
    info->memory[6].bytes = ~0xfffull;
    CHECK(says(find_fault(*info), "memory map"));
}

TEST_CASE("images must lie in RAM, the trampoline below 1 MiB", "[boot_record]") {
    auto info = good_record();
    info->hv_image.base = 0xfee00000;
    CHECK(says(find_fault(*info), "image"));
    info = good_record();
    info->device_tree.bytes = ~0ull;
    CHECK(says(find_fault(*info), "image"));
    info = good_record();
    info->image_count = 1;
    info->images[0].base = 0x8000000; // ACPI memory
    info->images[0].bytes = 16;
    CHECK(says(find_fault(*info), "guest image"));
    info = good_record();
    info->ap_trampoline = 0x100000;
    CHECK(says(find_fault(*info), "1 MiB"));
}

TEST_CASE("RAM keeps its kinds; frame 0 and the trampoline are held back", "[boot_record]") {
    auto const info = good_record();
    RamList list;
    list.fill(*info);
    std::map<FrameKind, u64> bytes;
    for (auto const& range : list.ranges()) {
        bytes[range.kind] += range.bytes;
        CHECK(range.node == 0);
    }
    CHECK(bytes[FrameKind::Free] == 0xa0000 + 0x7800000 + 0x4000'0000ull);
    CHECK(bytes[FrameKind::Data] == 0x100000 + 2 * kPageBytes);
    CHECK(bytes[FrameKind::Image] == 0x600000);
    CHECK(list.ranges()[0].base.raw == 0);
    CHECK(list.ranges()[1].base.raw == 0x8000);
}

TEST_CASE("a range that spans nodes is cut at their borders, nothing lost or doubled", "[boot_record]") {
    auto info = good_record();
    info->node_count = 3;
    info->node_range_count = 3;
    info->node_ranges[0] = {0, 0x4000000, 0, 0};
    info->node_ranges[1] = {0x4000000, 0x1000'0000, 1, 0};
    info->node_ranges[2] = {0x1'1000'0000, 0x1000'0000, 2, 0};
    RamList list;
    list.fill(*info);
    std::map<u32, u64> per_node;
    u64 end = 0;
    for (auto const& range : list.ranges().subspan(2)) {
        CHECK(range.base.raw >= end);
        end = range.base.raw + range.bytes;
        CHECK(node_of(*info, range.base.raw) == range.node);
        CHECK(node_of(*info, end - 1) == range.node);
        per_node[range.node] += range.bytes;
    }
    CHECK(per_node[1] == 0x4000000);
    CHECK(per_node[2] == 0x1000'0000);
    u64 const all = 0xa0000 + 0x100000 + 0x600000 + 0x7800000 + 0x4000'0000ull;
    CHECK(per_node[0] == all - 0x4000000 - 0x1000'0000);
}

TEST_CASE("borders of nodes off the page grid cut at the next page", "[boot_record]") {
    auto info = good_record();
    info->node_count = 2;
    info->node_range_count = 2;
    info->node_ranges[0] = {0, 0x4000801, 0, 0};
    info->node_ranges[1] = {0x4000801, 0x800, 1, 0}; // ends in the page after the one it begins in
    RamList list;
    list.fill(*info);
    u64 on_one = 0;
    for (auto const& range : list.ranges()) {
        CHECK(range.base.aligned(kPageBytes));
        CHECK(range.bytes % kPageBytes == 0);
        CHECK(node_of(*info, range.base.raw) == range.node);
        on_one += range.node == 1 ? range.bytes : 0;
    }
    CHECK(on_one == kPageBytes);
    CHECK(list.bytes() == 0xa0000 + 0x100000 + 0x600000 + 0x7800000 + 0x4000'0000ull + 2 * kPageBytes);
}

TEST_CASE("what is held back of low memory lies on the node of low memory", "[boot_record]") {
    auto info = good_record();
    info->node_count = 2;
    info->node_range_count = 2;
    info->node_ranges[0] = {0, 0x1'0000'0000, 1, 0};
    info->node_ranges[1] = {0x1'0000'0000, 0x4000'0000, 0, 0};
    RamList list;
    list.fill(*info);
    CHECK(list.ranges()[0].node == 1);
    CHECK(list.ranges()[1].node == 1);
}

TEST_CASE("more pieces than the list holds are counted, not lost from sight", "[boot_record]") {
    auto info = good_record();
    info->memory_count = handoff::kMaxMemoryRanges;
    for (u32 i = 0; i < handoff::kMaxMemoryRanges; ++i) {
        info->memory[i] = {0x100000 + i * 0x8000ull, 0x4000, MemoryKind::Usable, 0};
    }
    info->node_range_count = handoff::kMaxNodeRanges;
    RamList list;
    list.fill(*info);
    CHECK(list.dropped_bytes() == 0);
    for (u32 i = 0; i < handoff::kMaxMemoryRanges;
         ++i) { // each cut into four by borders inside it: one range, many nodes
        info->memory[i] = {i * 0x1000'0000ull, 0x1000'0000, MemoryKind::Usable, 0};
    }
    for (u32 i = 0; i < handoff::kMaxNodeRanges; ++i) {
        info->node_ranges[i] = {i * 0x2000ull, 0x1000, 1, 0};
    }
    list.fill(*info);
    CHECK(list.bytes() + list.dropped_bytes() == handoff::kMaxMemoryRanges * 0x1000'0000ull + 2 * kPageBytes);
}
