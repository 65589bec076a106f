// SPDX-License-Identifier: Apache-2.0
// Host memory: hands out frames of RAM and takes them back, and knows to the page who has how much.
#pragma once
#include "hv/mm/frame_pool.hpp"

namespace hv::mm {
/// "Any node" for allocate(): the one with most free frames.
inline constexpr u32 kAnyNode = ~0u;

/// What somebody has, in 4 KiB pages.
struct OwnerCount {
    u64 pages = 0;       ///< all kinds
    u64 guest_pages = 0; ///< of these, backing guest-physical memory
};

/// One per machine. Frames come as they are, with their last owner's bytes in them: who asks for one zeroes
/// it before anybody else can look (guest memory at first touch, OwnedFrames at once). All members may be
/// called from any CPU with interrupts masked; they hold one node's lock for a bounded time and never wait
/// for memory.
class FrameAllocator {
  public:
    constexpr FrameAllocator() = default;
    FrameAllocator(FrameAllocator const&) = delete;
    FrameAllocator& operator=(FrameAllocator const&) = delete;

    /// Takes over all RAM described by @p ranges (FrameTable::build says how they are read). Once.
    Result<void, FrameError> build(std::span<RamRange const> ranges, DirectMap map);

    /// 2^order frames, naturally aligned: order 0 (4 KiB) … 9 (2 MiB) … 18 (1 GiB).
    /// @param node  a node number, or kAnyNode
    /// @return Reserve when @p kind is Guest and the host's reserve would be touched.
    Result<Hpa, FrameError> allocate(unsigned order, u32 node, Owner owner, FrameKind kind);
    /// Exactly the frames at @p at, aligned to 2^order frames (order ≤ 9), if all of them are free.
    Result<void, FrameError> allocate_at(Hpa at, unsigned order, Owner owner, FrameKind kind);
    /// Frees 2^order frames of @p owner. They need not have been allocated with that order.
    void free(Hpa at, unsigned order, Owner owner);
    /// Frees any number of consecutive frames of @p owner, on whatever nodes.
    void free_pages(Hpa at, u64 pages, Owner owner);
    /// Passes 2^order frames on to another owner or purpose.
    void set_owner(Hpa at, unsigned order, Owner from, Owner to, FrameKind kind);

    /// Pages that guests may never use, kept for the hypervisor itself.
    void set_reserve(u64 pages) { __atomic_store_n(&reserve_pages_, pages, __ATOMIC_RELAXED); }
    u64 reserve_pages() const { return __atomic_load_n(&reserve_pages_, __ATOMIC_RELAXED); }
    /// Free pages in all, and what of them guests may still be given.
    u64 free_pages() const { return __atomic_load_n(&free_pages_, __ATOMIC_RELAXED); }
    u64 guest_free_pages() const;
    u64 free_pages(u32 node) const { return pools_[node].free_pages(); }
    u64 total_pages(u32 node) const { return pools_[node].total_pages(); }
    /// What @p node could give guests if every partition ended: neither what the hypervisor holds there nor
    /// what of the reserve finds no room on the other nodes.
    [[gnu::cold]] u64 guest_limit_pages(u32 node);
    u32 node_count() const { return node_count_; }
    OwnerCount count(Owner owner) const;

    FrameTable& table() { return table_; }
    FrameTable const& table() const { return table_; }
    DirectMap map() const { return table_.map(); }
    /// Free runs of @p order (9 … 18) on @p node.
    u32 free_runs(u32 node, unsigned order) { return pools_[node].free_runs(order); }

  private:
    bool claim(u64 pages, FrameKind kind);
    void unclaim(u64 pages) { __atomic_fetch_add(&free_pages_, pages, __ATOMIC_RELAXED); }
    void account(Owner owner, FrameKind kind, u64 pages, bool added);
    FramePool& pool_of(Hpa at);

    FrameTable table_;
    FramePool pools_[FrameTable::kMaxNodes];
    u32 node_count_ = 0;
    u64 free_pages_ = 0; ///< promised ones already taken off
    u64 reserve_pages_ = 0;
    OwnerCount counts_[kOwnerLimit] = {};
};
} // namespace hv::mm
