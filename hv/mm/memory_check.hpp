// SPDX-License-Identifier: Apache-2.0
// Proves the memory invariants by looking at every frame, every nested table and every page state.
#pragma once
#include "hv/base/format.hpp"
#include "hv/mm/guest_memory.hpp"

namespace hv::mm {
/// The first thing found wrong. Every kind but None is a bug of ours.
struct MemoryViolation {
    enum class Kind : u8 {
        None,
        LeafNotOwned,  ///< a guest can reach a frame that is not its own
        FrameTwice,    ///< a frame is mapped or listed twice
        LeafNotBacked, ///< a page is mapped that is ballooned, paged or not added
        BlockCounts,   ///< page states and a block's counts disagree
        MappedCount,   ///< leaves and a block's or the partition's counts disagree
        GuardCount,    ///< guarded leaves and a block's count disagree, or a leaf is narrowed without a guard
        TableNotOwned, ///< a nested table lies in a frame of somebody else
        FrameLost,     ///< a guest frame that no partition maps or holds ready
        WaitingCount,  ///< frames held ready do not match the pages that will need them
        AssignedCount, ///< a partition's frames and its backed pages disagree
        OwnerCount,    ///< the allocator's count for an owner is not what its frames say
        FreeCount,     ///< likewise for free frames
        BadRecord,     ///< a frame record that contradicts itself
        Overcommitted, ///< hypervisor + reserve + assigned > RAM
    } kind = Kind::None;
    Owner owner = Owner::Free;
    Gpa gpa;
    Hpa hpa;
    u64 expected = 0, found = 0;
};

/// Pages of 4 KiB.
struct MemoryReport {
    MemoryViolation violation;
    u64 ram_pages = 0;
    u64 free_pages = 0;
    u64 reserve_pages = 0;
    u64 hypervisor_pages = 0; ///< everything that does not back guest memory
    u64 assigned_pages = 0;   ///< Σ backed
    u64 ballooned_pages = 0;
    u64 table_pages = 0; ///< nested tables in use
    u64 leaves_4k = 0, leaves_2m = 0, leaves_1g = 0;
    u64 partitions = 0;
    bool ok() const { return violation.kind == MemoryViolation::Kind::None; }
};

/// Walks everything. Nothing may change meanwhile: all processors are stopped or in this call. Allocates
/// nothing; takes some instructions for each frame of RAM.
MemoryReport check_memory(FrameAllocator& frames, std::span<GuestMemory const* const> partitions);

/// One line for the operator.
void print(TextBuffer& out, MemoryReport const& report);
} // namespace hv::mm
