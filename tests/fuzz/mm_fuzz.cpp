// SPDX-License-Identifier: Apache-2.0
// A firmware that describes RAM in any way it likes, then a life of allocations on it, then a guest that
// gives memory away and gets it back while a debugger guards its pages, and the memory check.
#include "fuzz_input.hpp"
#include "hv/mm/memory_check.hpp"
#include "hv/mm/nested_table.hpp"
#include "tests/fakes/arena_ram.hpp"
#include <algorithm>
#include <memory>
#include <set>
#include <vector>

using namespace hv;
using namespace hv::mm;
using namespace hv::test;

namespace {
constexpr u64 kArenaBytes = 8 * GiB;

/// Addresses inside the arena, at segment borders, or where only the sums overflow.
RamRange any_range(FuzzInput& in, bool in_arena) {
    RamRange range;
    range.node = static_cast<u32>(in.below(in.flag() ? 3 : 40));
    range.kind = in.below(4) == 0 ? FrameKind::Image : FrameKind::Free;
    switch (in_arena ? 1 + in.below(3) : in.below(4)) {
    case 0: // far away, and too small for the table, which would go there when images lie over all else
        range.base = Hpa{in.get<u64>()};
        range.bytes = in.below(40 * KiB);
        break;
    case 1: // about a border
        range.base = Hpa{in.below(8) * GiB + 4 * MiB - in.below(4 * MiB)};
        range.bytes = in.below(8 * MiB);
        break;
    default: range.base = Hpa{in.below(7 * GiB / kPageBytes) * kPageBytes}; range.bytes = in.below(24 * MiB);
    }
    return range;
}

struct Piece {
    Hpa at;
    u64 pages;
    Owner owner;
};
/// One step of a guest's life or of its debugger's. @p guards are the pages that have one.
void guest_step(FuzzInput& in, GuestMemory& memory, std::set<u64>& guards) {
    // Few pages of few blocks, so that steps meet; of what it started with, or of the hot-add window.
    u8 const place = in.get<u8>(), what = in.get<u8>();
    u64 const area = (place & 1) == 0 ? 0 : 4 * GiB;
    Gpa const at{area + (place >> 1 & 3) * kLargePageBytes + (place >> 3) * 13 * kPageBytes};
    u64 const pages = (what & 0x10) != 0 ? 1 : 1 + in.get<u16>() % 1100;
    auto const gone = [&](Gpa from, u64 bytes) {
        guards.erase(guards.lower_bound(from.raw), guards.lower_bound(from.raw + bytes));
    };
    Access const access = static_cast<Access>(1u << what / 32 % 3), rights = static_cast<Access>(what / 32);
    switch (what & 15) {
    case 0:
    case 1:
    case 2: {
        Touch const touch = memory.touch(at, access);
        bool const denied = guards.count(at.raw) != 0 && memory.denies(at, access);
        bool const backed = memory.state(at) == PageState::Backed;
        REQUIRE_THAT((touch == Touch::Guarded) == denied);
        REQUIRE_THAT((touch == Touch::Guarded || touch == Touch::Mapped) == backed);
        break;
    }
    case 3:
    case 4:
    case 5:
    case 6:
        if (memory.guard(at, rights).ok()) {
            guards.insert(at.raw);
            REQUIRE_THAT(memory.guarded(at) == (has(rights, Access::R) ? rights : Access::None));
            REQUIRE_THAT(memory.page(at).ok());
        }
        break;
    case 7:
    case 8:
        memory.unguard(at);
        guards.erase(at.raw);
        break;
    case 9:
    case 10:
        if (memory.balloon_out(at, pages).ok()) {
            gone(at, pages * kPageBytes);
        }
        break;
    case 11:
    case 12: (void)memory.give_back(at, pages); break;
    case 13: (void)memory.hot_add(at, pages); break;
    case 14: memory.compact_block(at); break;
    default:
        if (in.flag() && memory.reset_for_restart().ok()) {
            guards.clear();
        }
    }
    REQUIRE_THAT(memory.is_guarded(at) == (guards.count(at.raw) != 0));
}

void guest_life(FuzzInput& in, NestedFormat const& format, FrameAllocator& frames) {
    KernelHeap heap{frames, partition_owner(7)};
    u64 const startup = 1 * MiB + in.below(5 * MiB / kPageBytes) * kPageBytes;
    auto made = GuestMemory::create(heap, frames,
                                    {.owner = partition_owner(7),
                                     .startup_bytes = startup,
                                     .maximum_bytes = startup + 5 * MiB,
                                     .small_pages_only = in.below(8) == 0});
    if (!made.ok()) {
        return;
    }
    GuestMemory& memory = *made.value();
    NestedMap* const map = create_nested_table(format, memory.table_frames());
    if (map != nullptr) {
        memory.attach(*map);
        std::set<u64> guards;
        for (unsigned steps = 0; !in.empty() && steps < 200; ++steps) {
            guest_step(in, memory, guards);
        }
        u64 found = 0;
        map->for_each([](void* n, NestedLeaf const& leaf) { *static_cast<u64*>(n) += leaf.guarded; }, &found);
        REQUIRE_THAT(found == guards.size());
        GuestMemory const* const one[] = {&memory};
        REQUIRE_THAT(check_memory(frames, one).ok());
        memory.discard();
        destroy_nested_table(map, memory.table_frames());
    }
    GuestMemory::destroy(heap, &memory);
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, usize size) {
    static ArenaRam arena{Hpa{0}, kArenaBytes};
    FuzzInput in{data, size};
    bool const with_guest = in.flag(); // whose memory must be there
    std::vector<RamRange> ranges{{Hpa{4 * GiB + 100 * MiB}, 32 * MiB, 0, FrameKind::Free}};
    for (u64 n = in.below(12); n != 0; --n) {
        ranges.insert(ranges.begin() + static_cast<s64>(in.below(ranges.size() + 1)),
                      any_range(in, with_guest));
    }
    auto frames = std::make_unique<FrameAllocator>();
    if (!frames->build(ranges, arena.map()).ok()) {
        return 0; // an image may lie over all that is free
    }
    REQUIRE_THAT(check_memory(*frames, {}).ok());
    u64 const free_at_start = frames->free_pages();
    std::vector<Piece> live;
    if (with_guest) {
        guest_life(in, in.flag() ? kEptFormat : kNptFormat, *frames);
    }
    while (!in.empty()) {
        Owner const owner = partition_owner(static_cast<u16>(in.below(3)));
        switch (in.below(5)) {
        case 0:
        case 1: {
            unsigned const order = static_cast<unsigned>(in.below(in.flag() ? 3 : 14));
            auto const got = frames->allocate(order, in.flag() ? kAnyNode : static_cast<u32>(in.below(18)),
                                              owner, FrameKind::Data);
            if (got.ok()) {
                REQUIRE_THAT(got.value().aligned(kPageBytes << order));
                REQUIRE_THAT(frames->table().owned_by(owner, got.value(), 1ull << order));
                live.push_back({got.value(), 1ull << order, owner});
            }
            break;
        }
        case 2: {
            unsigned const order = static_cast<unsigned>(in.below(10));
            RamRange const& range = ranges[in.below(ranges.size())];
            Hpa const at{align_down(range.base.raw + in.below(range.bytes + 1), kPageBytes << order)};
            bool const was_free = frames->table().at(at).kind == FrameKind::Free;
            if (frames->allocate_at(at, order, owner, FrameKind::Data).ok()) {
                REQUIRE_THAT(was_free);
                live.push_back({at, 1ull << order, owner});
            } else {
                REQUIRE_THAT(order != 0 || !was_free);
            }
            break;
        }
        default: {
            if (live.empty()) {
                break;
            }
            std::swap(live[in.below(live.size())], live.back());
            Piece& piece = live.back();
            u64 const pages = in.flag() ? piece.pages : 1 + in.below(piece.pages);
            frames->free_pages(piece.at, pages, piece.owner);
            piece = {piece.at + pages * kPageBytes, piece.pages - pages, piece.owner};
            if (piece.pages == 0) {
                live.pop_back();
            }
        }
        }
    }
    REQUIRE_THAT(check_memory(*frames, {}).ok());
    for (Piece const& piece : live) {
        frames->free_pages(piece.at, piece.pages, piece.owner);
    }
    REQUIRE_THAT(frames->free_pages() == free_at_start);
    REQUIRE_THAT(check_memory(*frames, {}).ok());
    return 0;
}
