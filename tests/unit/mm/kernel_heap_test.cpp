// SPDX-License-Identifier: Apache-2.0
#include "hv/mm/kernel_heap.hpp"
#include "hv/mm/owned_frames.hpp"
#include "tests/fakes/arena_ram.hpp"
#include "tests/unit/mm/death.hpp"
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

using namespace hv;
using namespace hv::mm;
using hv::test::dies;

namespace {
struct Bed {
    explicit Bed(u64 bytes) : ram{Hpa{0x10'0000}, bytes} {
        RamRange const range{ram.first(), bytes};
        REQUIRE(frames->build(std::span{&range, 1}, ram.map()).ok());
        free_at_start = frames->free_pages();
    }
    hv::test::ArenaRam ram;
    std::unique_ptr<FrameAllocator> frames = std::make_unique<FrameAllocator>();
    u64 free_at_start = 0;
};
struct Tracked {
    explicit Tracked(int& alive) : alive_{alive} { ++alive_; }
    virtual ~Tracked() { --alive_; }
    int& alive_;
};
} // namespace

TEST_CASE("objects of all sizes are aligned, disjoint, and leave nothing behind", "[mm][heap]") {
    Bed bed{64 * MiB};
    struct Block {
        u8* at;
        u64 bytes, align;
        u8 fill;
    };
    {
        KernelHeap heap{*bed.frames, partition_owner(3)};
        std::vector<Block> live;
        std::mt19937 random{11};
        auto const release = [&](Block const& b) {
            REQUIRE(std::all_of(b.at, b.at + b.bytes, [&](u8 v) { return v == b.fill; }));
            heap.free(b.at, b.bytes, b.align);
        };
        for (int step = 0; step < 5000; ++step) {
            if (live.empty() || random() % 3 != 0) {
                u64 const bytes = 1 + (random() % 20 == 0 ? random() % 70000 : random() % 1500);
                u64 const align = 1ull << (random() % 13);
                auto* const at = static_cast<u8*>(heap.allocate(bytes, align));
                REQUIRE(at != nullptr);
                REQUIRE(reinterpret_cast<u64>(at) % align == 0);
                u8 const fill = static_cast<u8>(random());
                std::memset(at, fill, bytes);
                live.push_back({at, bytes, align, fill});
            } else {
                std::swap(live[random() % live.size()], live.back());
                release(live.back());
                live.pop_back();
            }
        }
        CHECK(bed.frames->count(partition_owner(3)).pages == heap.pages());
        for (Block const& b : live) {
            release(b);
        }
        CHECK(heap.pages() == 0);
    }
    CHECK(bed.frames->free_pages() == bed.free_at_start);
}

TEST_CASE("a large object takes its pages and not the next power of two", "[mm][heap]") {
    Bed bed{16 * MiB};
    KernelHeap heap{*bed.frames, Owner::Hypervisor};
    void* const at = heap.allocate(5 * kPageBytes + 1, kPageBytes);
    CHECK(heap.pages() == 6);
    CHECK(bed.frames->free_pages() == bed.free_at_start - 6);
    heap.free(at, 5 * kPageBytes + 1, kPageBytes);
    CHECK(bed.frames->free_pages() == bed.free_at_start);
}

TEST_CASE("no memory is null, for objects large and small", "[mm][heap]") {
    Bed bed{4 * MiB};
    KernelHeap heap{*bed.frames, Owner::Hypervisor};
    CHECK(heap.allocate(8 * MiB) == nullptr);
    CHECK(heap.allocate(2 * GiB) == nullptr);
    while (bed.frames->allocate(0, kAnyNode, partition_owner(0), FrameKind::Guest).ok()) {
    }
    CHECK(heap.allocate(24) == nullptr);
    int alive = 0;
    CHECK(make<Tracked>(heap, alive) == nullptr);
    CHECK(alive == 0);
}

TEST_CASE("make and destroy run constructor and destructor once", "[mm][heap]") {
    Bed bed{4 * MiB};
    KernelHeap heap{*bed.frames, Owner::Hypervisor};
    int alive = 0;
    Tracked* const object = make<Tracked>(heap, alive);
    REQUIRE(object != nullptr);
    CHECK(alive == 1);
    destroy(heap, object);
    CHECK(alive == 0);
    destroy<Tracked>(heap, nullptr);
}

TEST_CASE("freeing with another size is a bug", "[mm][heap]") {
    Bed bed{4 * MiB};
    KernelHeap heap{*bed.frames, Owner::Hypervisor};
    void* const at = heap.allocate(100);
    CHECK(dies([&] { heap.free(at, 300); }));
    heap.free(at, 100);
}

TEST_CASE("owned frames come zeroed and tagged", "[mm][heap]") {
    Bed bed{4 * MiB};
    OwnedFrames owned{*bed.frames, partition_owner(5), FrameKind::NestedTable};
    void* const page = owned.allocate();
    REQUIRE(page != nullptr);
    std::memset(page, 0xaa, kPageBytes);
    Hpa const at = owned.physical(page);
    CHECK(owned.pointer(at) == page);
    CHECK(bed.frames->table().at(at).owner == partition_owner(5));
    CHECK(bed.frames->table().at(at).kind == FrameKind::NestedTable);
    owned.free(page);
    CHECK(bed.frames->count(partition_owner(5)).pages == 0);
    std::vector<void*> all;
    while (void* const next = owned.allocate()) {
        REQUIRE(std::all_of(static_cast<u8*>(next), static_cast<u8*>(next) + kPageBytes,
                            [](u8 b) { return b == 0; }));
        all.push_back(next);
    }
    CHECK(all.size() == bed.free_at_start);
}

TEST_CASE("owned frames come from the node asked for, and from another when it has none", "[mm][heap]") {
    hv::test::ArenaRam ram{Hpa{0}, 8 * MiB};
    RamRange const ranges[] = {{Hpa{0}, 4 * MiB, 0}, {Hpa{4 * MiB}, 4 * MiB, 2}};
    auto const frames = std::make_unique<FrameAllocator>();
    REQUIRE(frames->build(ranges, ram.map()).ok());
    auto const node_of_next = [&](u32 near) {
        OwnedFrames owned{*frames, Owner::Hypervisor, FrameKind::Data, near};
        void* const page = owned.allocate();
        REQUIRE(page != nullptr);
        return u32{frames->table().at(owned.physical(page)).node};
    };
    CHECK(node_of_next(0) == 0);
    CHECK(node_of_next(2) == 2);
    for (u32 const processors_alone : {1u, 3u, FrameTable::kMaxNodes + 1}) {
        CHECK(node_of_next(processors_alone) != processors_alone);
    }
    while (frames->free_pages(0) != 0) {
        CHECK(node_of_next(0) == 0);
    }
    CHECK(node_of_next(0) == 2); // used up
}
