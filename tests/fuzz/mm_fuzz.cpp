// SPDX-License-Identifier: Apache-2.0
// A firmware that describes RAM in any way it likes, then a life of allocations on it, and the memory check.
#include "fuzz_input.hpp"
#include "hv/mm/memory_check.hpp"
#include "tests/fakes/arena_ram.hpp"
#include <algorithm>
#include <memory>
#include <vector>

using namespace hv;
using namespace hv::mm;
using namespace hv::test;

namespace {
constexpr u64 kArenaBytes = 8 * GiB;

/// Addresses inside the arena, at segment borders, or where only the sums overflow.
RamRange any_range(FuzzInput& in) {
    RamRange range;
    range.node = static_cast<u32>(in.below(in.flag() ? 3 : 40));
    range.kind = in.below(4) == 0 ? FrameKind::Image : FrameKind::Free;
    switch (in.below(4)) {
    case 0: // far away, and small enough not to be where the table goes
        range.base = Hpa{in.get<u64>()};
        range.bytes = in.below(1 * MiB);
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
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, usize size) {
    static ArenaRam arena{Hpa{0}, kArenaBytes};
    FuzzInput in{data, size};
    std::vector<RamRange> ranges{{Hpa{4 * GiB + 100 * MiB}, 32 * MiB, 0, FrameKind::Free}};
    for (u64 n = in.below(12); n != 0; --n) {
        ranges.insert(ranges.begin() + static_cast<s64>(in.below(ranges.size() + 1)), any_range(in));
    }
    auto frames = std::make_unique<FrameAllocator>();
    if (!frames->build(ranges, arena.map()).ok()) {
        return 0; // an image may lie over all that is free
    }
    REQUIRE_THAT(check_memory(*frames, {}).ok());
    u64 const free_at_start = frames->free_pages();
    std::vector<Piece> live;
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
