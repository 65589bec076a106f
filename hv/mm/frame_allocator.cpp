// SPDX-License-Identifier: Apache-2.0
// Choice of the node, the host's reserve, and the count of what everybody has.
#include "hv/mm/frame_allocator.hpp"
#include <algorithm>
#include <bit>

namespace hv::mm {
Result<void, FrameError> FrameAllocator::build(std::span<RamRange const> ranges, DirectMap map) {
    HV_TRY(table_.build(ranges, map));
    node_count_ = 1;
    for (u32 i = 0; i < table_.block_count(); ++i) {
        node_count_ = std::max<u32>(node_count_, table_.block(i).node + 1u);
    }
    u64 held = 0;
    for (u32 node = 0; node < node_count_; ++node) {
        pools_[node].adopt(table_, static_cast<u8>(node));
        free_pages_ += pools_[node].free_pages();
        held += pools_[node].total_pages() - pools_[node].free_pages();
    }
    account(Owner::Hypervisor, FrameKind::Data, held, true);
    return {};
}

/// Takes @p pages off the free count before any is looked for: two CPUs cannot both pass the reserve.
bool FrameAllocator::claim(u64 pages, FrameKind kind) {
    u64 const floor = kind == FrameKind::Guest ? reserve_pages() : 0;
    u64 have = free_pages();
    do {
        if (have < pages || have - pages < floor) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&free_pages_, &have, have - pages, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

void FrameAllocator::account(Owner owner, FrameKind kind, u64 pages, bool added) {
    u64 const delta = added ? pages : 0 - pages;
    OwnerCount& count = counts_[static_cast<u16>(owner)];
    __atomic_fetch_add(&count.pages, delta, __ATOMIC_RELAXED);
    if (kind == FrameKind::Guest) {
        __atomic_fetch_add(&count.guest_pages, delta, __ATOMIC_RELAXED);
    }
}

FramePool& FrameAllocator::pool_of(Hpa at) {
    u32 const index = table_.block_index(at);
    HV_ASSERT(index != kNoIndex);
    return pools_[table_.block(index).node];
}

Result<Hpa, FrameError> FrameAllocator::allocate(unsigned order, u32 node, Owner owner, FrameKind kind) {
    HV_ASSERT(order <= kMaxOrder && static_cast<u16>(owner) < kOwnerLimit);
    u64 const pages = 1ull << order;
    if (!claim(pages, kind)) {
        return Err{free_pages() >= pages ? FrameError::Reserve : FrameError::OutOfFrames};
    }
    Hpa at;
    bool found = false;
    if (node != kAnyNode) {
        found = node < node_count_ && pools_[node].take(order, owner, kind, at);
    } else {
        u32 fullest = 0;
        for (u32 n = 1; n < node_count_; ++n) {
            fullest = pools_[n].free_pages() > pools_[fullest].free_pages() ? n : fullest;
        }
        for (u32 i = 0; i < node_count_ && !found; ++i) {
            found = pools_[(fullest + i) % node_count_].take(order, owner, kind, at);
        }
    }
    if (!found) {
        unclaim(pages);
        return Err{FrameError::OutOfFrames};
    }
    account(owner, kind, pages, true);
    return at;
}

Result<void, FrameError> FrameAllocator::allocate_at(Hpa at, unsigned order, Owner owner, FrameKind kind) {
    HV_ASSERT(static_cast<u16>(owner) < kOwnerLimit);
    u64 const pages = 1ull << order;
    if (table_.block_index(at) == kNoIndex) {
        return Err{FrameError::OutOfFrames};
    }
    if (!claim(pages, kind)) {
        return Err{free_pages() >= pages ? FrameError::Reserve : FrameError::OutOfFrames};
    }
    if (!pool_of(at).take_at(at, order, owner, kind)) {
        unclaim(pages);
        return Err{FrameError::OutOfFrames};
    }
    account(owner, kind, pages, true);
    return {};
}

void FrameAllocator::free(Hpa at, unsigned order, Owner owner) {
    FrameKind const kind = pool_of(at).put(at, order, owner);
    account(owner, kind, 1ull << order, false);
    unclaim(1ull << order);
}

void FrameAllocator::free_pages(Hpa at, u64 pages, Owner owner) {
    while (pages != 0) {
        unsigned const fits = static_cast<unsigned>(std::bit_width(pages)) - 1;
        unsigned const aligned = static_cast<unsigned>(std::countr_zero(at.pfn()));
        unsigned const order = std::min({fits, aligned, kBlockOrder});
        free(at, order, owner);
        at = at + (kPageBytes << order);
        pages -= 1ull << order;
    }
}

void FrameAllocator::set_owner(Hpa at, unsigned order, Owner from, Owner to, FrameKind kind) {
    HV_ASSERT(static_cast<u16>(to) < kOwnerLimit);
    FrameKind const was = pool_of(at).change_owner(at, order, from, to, kind);
    account(from, was, 1ull << order, false);
    account(to, kind, 1ull << order, true);
}

u64 FrameAllocator::guest_free_pages() const {
    u64 const have = free_pages();
    u64 const reserve = reserve_pages();
    return have > reserve ? have - reserve : 0;
}

u64 FrameAllocator::guest_limit_pages(u32 node) {
    u64 here = 0, elsewhere = 0;
    for (u32 n = 0; n < node_count_; ++n) {
        (n == node ? here : elsewhere) += pools_[n].within_reach_pages();
    }
    u64 const reserve = reserve_pages();
    u64 const kept_here = reserve > elsewhere ? reserve - elsewhere : 0;
    return here > kept_here ? here - kept_here : 0;
}

OwnerCount FrameAllocator::count(Owner owner) const {
    OwnerCount const& c = counts_[static_cast<u16>(owner)];
    return {__atomic_load_n(&c.pages, __ATOMIC_RELAXED), __atomic_load_n(&c.guest_pages, __ATOMIC_RELAXED)};
}
} // namespace hv::mm
