// SPDX-License-Identifier: Apache-2.0
// The free frames of one NUMA node: buddies of 2 MiB to 1 GiB on lists by order, and blocks with some free
// frames on lists by the largest piece they can give.
#pragma once
#include "hv/base/spin_lock.hpp"
#include "hv/mm/frame_table.hpp"

namespace hv::mm {
/// Not for general use: FrameAllocator is the door. Every member takes the pool's lock; none allocates.
class FramePool {
  public:
    constexpr FramePool() {
        for (u32& head : head_) {
            head = kNoIndex;
        }
    }

    /// Takes over all of @p node's free frames. Once, at start-up.
    [[gnu::cold]] void adopt(FrameTable& table, u8 node);

    /// 2^order frames (order ≤ 18), naturally aligned, now @p owner's; false when there are none. Their
    /// contents are whatever they were.
    bool take(unsigned order, Owner owner, FrameKind kind, Hpa& out);
    /// Takes exactly the frames at @p at (aligned to the order ≤ 9), if all are free.
    [[gnu::cold]] bool take_at(Hpa at, unsigned order, Owner owner, FrameKind kind);
    /// Makes 2^order frames free and joins buddies. Asserts that all are @p owner's and of one kind.
    /// @return that kind
    FrameKind put(Hpa at, unsigned order, Owner owner);
    /// Gives 2^order frames of @p from to @p to. Asserts and returns as put().
    [[gnu::cold]] FrameKind change_owner(Hpa at, unsigned order, Owner from, Owner to, FrameKind kind);

    u64 free_pages() const { return __atomic_load_n(&free_pages_, __ATOMIC_RELAXED); }
    u64 total_pages() const { return total_pages_; }
    /// What is free here or some partition's: all that could ever become one partition's.
    [[gnu::cold]] u64 within_reach_pages();
    /// Length of the free list of @p order (9 … 18), for tests and the operator.
    [[gnu::cold]] u32 free_runs(unsigned order);

  private:
    bool take_run(unsigned order, u32& index);
    void put_run(u32 index, unsigned order);
    void passed(Owner from, Owner to, u64 pages);
    void take_in_block(u32 index, unsigned at, unsigned order, Owner owner, FrameKind kind);
    void open_block(u32 index);
    [[gnu::cold]] bool isolate(u32 index);
    FrameKind assert_owned(Hpa at, unsigned order, Owner owner) const;
    void resort(u32 index, int order);
    void insert(u32 index, unsigned order);
    void remove(u32 index);

    SpinLock lock_; ///< guards the lists, the free blocks, and Split blocks of this node
    FrameTable* table_ = nullptr;
    u32 head_[kMaxOrder + 1]; ///< 0 … 8: Split blocks by largest free order; 9 … 18: free runs
    u64 free_pages_ = 0;
    u64 partition_pages_ = 0; ///< what partitions own
    u64 total_pages_ = 0;
    u8 node_ = 0;
};
} // namespace hv::mm
