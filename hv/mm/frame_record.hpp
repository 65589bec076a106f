// SPDX-License-Identifier: Apache-2.0
// What is written down about RAM: 4 bytes a frame, and 24 bytes for each 2 MiB block, so that work on whole
// blocks never looks at their 512 frames.
#pragma once
#include "hv/mm/free_bits.hpp"

namespace hv::mm {
/// Who a frame belongs to. Every frame of RAM has exactly one.
enum class Owner : u16 { Free = 0, Hypervisor = 1 };
inline constexpr u16 kFirstPartitionOwner = 16;
inline constexpr u16 kOwnerLimit = 1024;
/// The owner that stands for partition @p id (0 … kOwnerLimit − kFirstPartitionOwner − 1).
constexpr Owner partition_owner(u16 id) {
    return static_cast<Owner>(kFirstPartitionOwner + id);
}
constexpr bool is_partition(Owner owner) {
    return static_cast<u16>(owner) >= kFirstPartitionOwner;
}

/// What a frame is used for.
enum class FrameKind : u8 {
    NotRam = 0,
    Free,
    Guest,       ///< backs guest-physical memory
    NestedTable, ///< a partition's second-level table, or set aside for one
    HostTable,   ///< the hypervisor's own page tables
    Data,        ///< heap, stacks, control structures, the frame table itself
    Image,       ///< hv.elf, guest images, configuration
};
inline constexpr unsigned kFrameKinds = 7;

inline constexpr unsigned kMaxOrder = 18;  ///< 1 GiB
inline constexpr unsigned kBlockOrder = 9; ///< 2 MiB
inline constexpr u32 kNoIndex = ~0u;
inline constexpr u8 kNoOrder = 0xff;

struct FrameRecord {
    Owner owner = Owner::Free;
    FrameKind kind = FrameKind::NotRam;
    u8 marked = 0; ///< scratch of MemoryCheck
};
static_assert(sizeof(FrameRecord) == 4);

/// The frames of one block. Valid (and then always true) only while the block is Split.
struct FrameGroup {
    FreeBits free;
    FrameRecord frame[kPagesPerLargePage];
};

enum class BlockState : u8 {
    NoRam,    ///< none of its frames is RAM
    Whole,    ///< all 512 frames have this owner and kind
    FreeHead, ///< first block of a free run of 2^order frames, on its pool's list
    FreeTail, ///< a later block of such a run
    Split,    ///< look at the frames; on a pool's partial list when some are free
};

/// One 2 MiB block.
struct BlockRecord {
    u32 group = kNoIndex; ///< index of its FrameGroup
    u32 next = kNoIndex;  ///< list links are block indexes; they live here and never inside free memory, so
    u32 prev = kNoIndex;  ///< that nothing a guest could still reach is ever trusted
    Owner owner = Owner::Free;
    u16 free_frames = 0; ///< Split only
    BlockState state = BlockState::NoRam;
    FrameKind kind = FrameKind::NotRam;
    u8 order = kNoOrder; ///< FreeHead: 9 … 18; Split: largest free order 0 … 8, or kNoOrder
    u8 node = 0;
    u16 marked = 0; ///< scratch of MemoryCheck: how many of its frames have been seen in use
};
static_assert(sizeof(BlockRecord) == 24);
} // namespace hv::mm
