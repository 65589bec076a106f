// SPDX-License-Identifier: Apache-2.0
// The truth about RAM: which frames there are, who owns each, what for, and on which NUMA node it lies.
//
//   physical address ── segment (1 GiB granules that hold RAM) ── BlockRecord (2 MiB) ──┬─ Whole/Free: all
//   512 alike
//                                                                                       └─ Split: FrameRecord
//                                                                                       each
#pragma once
#include "hv/base/result.hpp"
#include "hv/mm/direct_map.hpp"
#include "hv/mm/frame_record.hpp"
#include <span>

namespace hv::mm {
/// RAM as the loader found it. Kind Free may be handed out; any other kind stays the hypervisor's.
struct RamRange {
    Hpa base;
    u64 bytes = 0;
    u32 node = 0;
    FrameKind kind = FrameKind::Free;
};

enum class FrameError : u8 {
    OutOfFrames, ///< nothing of this order is free (on this node)
    Reserve,     ///< a guest would eat into the host's reserve
    NoRam,       ///< set-up only: no range could hold the frame table
};

/// One frame's record, as a value.
struct FrameInfo {
    Owner owner;
    FrameKind kind;
    u8 node;
};

class FrameTable {
  public:
    static constexpr unsigned kMaxSegments = 32;
    static constexpr unsigned kMaxNodes = 16;
    /// Physical addresses end here (SDM vol 3A, MAXPHYADDR ≤ 52); what lies above is ignored.
    static constexpr u64 kPhysicalLimit = 1ull << 52;

    constexpr FrameTable() = default;
    FrameTable(FrameTable const&) = delete;
    FrameTable& operator=(FrameTable const&) = delete;

    /// Builds the table inside the largest Free range. Ranges may come in any order, touch, and overlap:
    /// among overlapping ones the kind that is not Free wins, and the first named node. Partial pages at a
    /// range's ends are not RAM; nodes past kMaxNodes − 1 count as the last. Every block's frames are put
    /// down as free or owned by the hypervisor; the pools take over from there. Once, at start-up.
    Result<void, FrameError> build(std::span<RamRange const> ranges, DirectMap map);

    DirectMap map() const { return map_; }
    u64 ram_pages() const { return ram_pages_; }
    /// RAM left out because it lay in too many scattered places.
    u64 ignored_bytes() const { return ignored_bytes_; }
    /// The table's own memory.
    u64 table_bytes() const { return table_bytes_; }

    /// The record of the frame that holds @p at; NotRam for what is none.
    FrameInfo at(Hpa at) const;
    /// Whether [at, at + pages) lies in RAM that @p owner has.
    bool owned_by(Owner owner, Hpa at, u64 pages) const;

    // For the pools and the check: blocks by index, in steps of 2 MiB inside a segment.
    u32 block_count() const { return block_count_; }
    BlockRecord& block(u32 index) { return blocks_[index]; }
    BlockRecord const& block(u32 index) const { return blocks_[index]; }
    FrameGroup& group(BlockRecord const& b) { return groups_[b.group]; }
    FrameGroup const& group(BlockRecord const& b) const { return groups_[b.group]; }
    /// Index of the block that holds @p at, or kNoIndex.
    u32 block_index(Hpa at) const;
    Hpa block_address(u32 index) const;
    /// Turns a block that is Whole into one with 512 single records that say the same.
    void split_block(BlockRecord& b);

  private:
    struct Segment {
        u64 first_block = 0; ///< physical address / 2 MiB, a multiple of 512
        u32 blocks = 0;      ///< a multiple of 512
        u32 first_index = 0;
    };
    void find_segments(std::span<RamRange const> ranges);
    bool place(std::span<RamRange const> ranges, RamRange& own);
    void put_down(RamRange const& range);
    void put_down_frame(BlockRecord& b, unsigned frame, FrameKind kind);
    void count_free();

    DirectMap map_{0};
    Segment segments_[kMaxSegments] = {};
    unsigned segment_count_ = 0;
    u32 block_count_ = 0;
    u32 group_count_ = 0;
    u32 groups_used_ = 0;
    BlockRecord* blocks_ = nullptr;
    FrameGroup* groups_ = nullptr;
    u64 ram_pages_ = 0;
    u64 ignored_bytes_ = 0;
    u64 table_bytes_ = 0;
};
} // namespace hv::mm
