// SPDX-License-Identifier: Apache-2.0
// Set-up of the frame table from the loader's ranges, and its queries.
#include "hv/mm/frame_table.hpp"
#include "hv/mm/page_fill.hpp"
#include <algorithm>
#include <new>

namespace hv::mm {
namespace {
constexpr u64 kSegmentBytes = kHugePageBytes;

struct Pages {
    u64 first, last; ///< page numbers, last exclusive
    bool empty() const { return first >= last; }
};
/// The whole pages of a range, without what lies past the top of the address space.
Pages whole_pages(RamRange const& range) {
    u64 const base = std::min(range.base.raw, FrameTable::kPhysicalLimit);
    u64 const end = base + std::min(range.bytes, FrameTable::kPhysicalLimit - base);
    return {(base + kPageBytes - 1) >> kPageShift, end >> kPageShift};
}
} // namespace

void FrameTable::find_segments(std::span<RamRange const> ranges) {
    // Insertion into a sorted list of disjoint spans of 1 GiB granules, merged as they touch.
    for (RamRange const& range : ranges) {
        Pages const pages = whole_pages(range);
        if (pages.empty()) {
            continue;
        }
        u64 first = align_down(pages.first << kPageShift, kSegmentBytes) / kLargePageBytes;
        u64 last = align_up(pages.last << kPageShift, kSegmentBytes) / kLargePageBytes;
        unsigned kept = 0;
        for (unsigned i = 0; i < segment_count_; ++i) {
            Segment const s = segments_[i];
            if (s.first_block <= last && first <= s.first_block + s.blocks) {
                last = std::max(last, s.first_block + s.blocks);
                first = std::min(first, s.first_block);
            } else {
                segments_[kept++] = s;
            }
        }
        segment_count_ = kept;
        if (segment_count_ == kMaxSegments) {
            ignored_bytes_ += (pages.last - pages.first) << kPageShift;
            continue;
        }
        unsigned at = segment_count_++;
        for (; at != 0 && segments_[at - 1].first_block > first; --at) {
            segments_[at] = segments_[at - 1];
        }
        segments_[at] = {first, static_cast<u32>(last - first), 0};
    }
    for (unsigned i = 0; i < segment_count_; ++i) {
        segments_[i].first_index = block_count_;
        block_count_ += segments_[i].blocks;
    }
}

bool FrameTable::place(std::span<RamRange const> ranges, RamRange& own) {
    // An upper bound: each range can bring at most two blocks that another one shares.
    u64 groups = 0;
    for (RamRange const& range : ranges) {
        Pages const pages = whole_pages(range);
        if (!pages.empty()) {
            groups += (pages.last + 511) / 512 - pages.first / 512;
        }
    }
    groups = std::min<u64>(groups, block_count_);
    group_count_ = static_cast<u32>(groups);
    u64 const block_bytes = align_up(block_count_ * sizeof(BlockRecord), 64);
    table_bytes_ = align_up(block_bytes + groups * sizeof(FrameGroup), kPageBytes);

    // The end of the largest free range that no other kind overlaps.
    u64 best = 0;
    for (RamRange const& range : ranges) {
        Pages const pages = whole_pages(range);
        if (range.kind != FrameKind::Free || pages.empty() || pages.last - pages.first <= best ||
            block_index(Hpa::from_pfn(pages.first)) == kNoIndex) {
            continue;
        }
        bool const clear = std::ranges::none_of(ranges, [&](RamRange const& other) {
            Pages const o = whole_pages(other);
            return other.kind != FrameKind::Free && !o.empty() && o.first < pages.last &&
                   pages.first < o.last;
        });
        if (clear && (pages.last - pages.first) * kPageBytes >= table_bytes_) {
            best = pages.last - pages.first;
            own = {Hpa::from_pfn(pages.last) - table_bytes_, table_bytes_, range.node, FrameKind::Data};
        }
    }
    if (best == 0) {
        return false;
    }
    auto* memory = map_.pointer<u8>(own.base);
    zero_words(memory, table_bytes_);
    blocks_ = reinterpret_cast<BlockRecord*>(memory);
    groups_ = reinterpret_cast<FrameGroup*>(memory + block_bytes);
    for (u32 i = 0; i < block_count_; ++i) {
        new (&blocks_[i]) BlockRecord;
    }
    return true;
}

Result<void, FrameError> FrameTable::build(std::span<RamRange const> ranges, DirectMap map) {
    HV_ASSERT(blocks_ == nullptr);
    map_ = map;
    find_segments(ranges);
    RamRange own;
    if (!place(ranges, own)) {
        return Err{FrameError::NoRam};
    }
    for (bool const free_ones : {true, false}) {
        for (RamRange const& range : ranges) {
            if ((range.kind == FrameKind::Free) == free_ones) {
                put_down(range);
            }
        }
    }
    put_down(own);
    count_free();
    return {};
}

void FrameTable::put_down(RamRange const& range) {
    Pages const pages = whole_pages(range);
    Owner const owner = range.kind == FrameKind::Free ? Owner::Free : Owner::Hypervisor;
    for (u64 page = pages.first; page < pages.last;) {
        u64 const next = std::min(pages.last, align_down(page, kPagesPerLargePage) + kPagesPerLargePage);
        u32 const index = block_index(Hpa::from_pfn(page));
        if (index == kNoIndex) { // one of the segments that did not fit
            page = next;
            continue;
        }
        BlockRecord& b = blocks_[index];
        bool const untouched = b.state == BlockState::NoRam;
        if (untouched) {
            HV_ASSERT(groups_used_ < group_count_);
            b.group = groups_used_++;
            b.node = static_cast<u8>(std::min(range.node, kMaxNodes - 1));
            b.kind = FrameKind::NotRam;
            b.state = BlockState::Whole;
        }
        if (untouched && next - page == kPagesPerLargePage) {
            b.kind = range.kind;
            b.owner = owner;
        } else if (b.state != BlockState::Whole || b.kind != range.kind) {
            if (b.state == BlockState::Whole) {
                split_block(b);
            }
            for (u64 p = page; p < next; ++p) {
                put_down_frame(b, p % kPagesPerLargePage, range.kind);
            }
        }
        page = next;
    }
}

void FrameTable::put_down_frame(BlockRecord& b, unsigned frame, FrameKind kind) {
    FrameRecord& record = group(b).frame[frame];
    if (kind != FrameKind::Free || record.kind == FrameKind::NotRam) {
        record.kind = kind;
        record.owner = kind == FrameKind::Free ? Owner::Free : Owner::Hypervisor;
    }
}

void FrameTable::count_free() {
    for (u32 i = 0; i < block_count_; ++i) {
        BlockRecord& b = blocks_[i];
        if (b.state == BlockState::Whole) {
            ram_pages_ += kPagesPerLargePage;
        }
        if (b.state != BlockState::Split) {
            continue;
        }
        FrameGroup& g = group(b);
        g.free.fill(false);
        for (unsigned f = 0; f < kPagesPerLargePage; ++f) {
            ram_pages_ += g.frame[f].kind != FrameKind::NotRam;
            if (g.frame[f].kind == FrameKind::Free) {
                g.free.set_run(f, 0, true);
                ++b.free_frames;
            }
        }
    }
}

u32 FrameTable::block_index(Hpa at) const {
    u64 const block = at.raw / kLargePageBytes;
    for (unsigned i = 0; i < segment_count_; ++i) {
        Segment const& s = segments_[i];
        if (block - s.first_block < s.blocks) {
            return s.first_index + static_cast<u32>(block - s.first_block);
        }
    }
    return kNoIndex;
}

Hpa FrameTable::block_address(u32 index) const {
    for (unsigned i = 0; i < segment_count_; ++i) {
        Segment const& s = segments_[i];
        if (index - s.first_index < s.blocks) {
            return {(s.first_block + (index - s.first_index)) * kLargePageBytes};
        }
    }
    panic("frame table: block index out of range");
}

FrameInfo FrameTable::at(Hpa at) const {
    u32 const index = block_index(at);
    if (index == kNoIndex) {
        return {Owner::Free, FrameKind::NotRam, 0};
    }
    BlockRecord const& b = blocks_[index];
    switch (b.state) {
    case BlockState::NoRam: return {Owner::Free, FrameKind::NotRam, b.node};
    case BlockState::Whole: return {b.owner, b.kind, b.node};
    case BlockState::FreeHead:
    case BlockState::FreeTail: return {Owner::Free, FrameKind::Free, b.node};
    case BlockState::Split: break;
    }
    FrameRecord const& record = group(b).frame[at.pfn() % kPagesPerLargePage];
    return {record.owner, record.kind, b.node};
}

bool FrameTable::owned_by(Owner owner, Hpa at, u64 pages) const {
    while (pages != 0) {
        FrameInfo const info = this->at(at);
        if (info.owner != owner || info.kind <= FrameKind::Free) {
            return false;
        }
        u64 step = 1;
        if (blocks_[block_index(at)].state == BlockState::Whole) {
            step = std::min(pages, kPagesPerLargePage - at.pfn() % kPagesPerLargePage);
        }
        at = at + step * kPageBytes;
        pages -= step;
    }
    return true;
}

void FrameTable::split_block(BlockRecord& b) {
    HV_ASSERT(b.state == BlockState::Whole);
    FrameGroup& g = group(b);
    g.free.fill(false);
    for (FrameRecord& record : g.frame) {
        record = {b.owner, b.kind, 0};
    }
    b.state = BlockState::Split;
    b.free_frames = 0;
    b.order = kNoOrder;
}
} // namespace hv::mm
