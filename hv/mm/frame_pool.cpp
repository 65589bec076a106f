// SPDX-License-Identifier: Apache-2.0
// Buddy allocation of one node.
#include "hv/mm/frame_pool.hpp"
#include <algorithm>

namespace hv::mm {
namespace {
constexpr u32 blocks_of(unsigned order) {
    return 1u << (order - kBlockOrder);
}
} // namespace

void FramePool::adopt(FrameTable& table, u8 node) {
    LockGuard guard{lock_};
    table_ = &table;
    node_ = node;
    for (u32 i = 0; i < table.block_count(); ++i) {
        BlockRecord& b = table.block(i);
        if (b.node != node || b.state == BlockState::NoRam) {
            continue;
        }
        if (b.state == BlockState::Whole) {
            total_pages_ += kPagesPerLargePage;
            if (b.kind == FrameKind::Free) {
                free_pages_ += kPagesPerLargePage;
                put_run(i, kBlockOrder);
            }
            continue;
        }
        for (FrameRecord const& record : table.group(b).frame) {
            total_pages_ += record.kind != FrameKind::NotRam;
        }
        free_pages_ += b.free_frames;
        if (b.free_frames == kPagesPerLargePage) {
            put_run(i, kBlockOrder);
        } else if (b.free_frames != 0) {
            insert(i, static_cast<unsigned>(table.group(b).free.largest_order(kBlockOrder - 1)));
        }
    }
}

void FramePool::insert(u32 index, unsigned order) {
    BlockRecord& b = table_->block(index);
    b.order = static_cast<u8>(order);
    b.prev = kNoIndex;
    b.next = head_[order];
    if (b.next != kNoIndex) {
        table_->block(b.next).prev = index;
    }
    head_[order] = index;
}

void FramePool::remove(u32 index) {
    BlockRecord& b = table_->block(index);
    if (b.prev != kNoIndex) {
        table_->block(b.prev).next = b.next;
    } else {
        HV_ASSERT(head_[b.order] == index);
        head_[b.order] = b.next;
    }
    if (b.next != kNoIndex) {
        table_->block(b.next).prev = b.prev;
    }
    b.next = b.prev = kNoIndex;
    b.order = kNoOrder;
}

/// A free run of at least 2 MiB, cut down to @p order; off the lists, its blocks still marked free.
bool FramePool::take_run(unsigned order, u32& index) {
    unsigned have = order;
    while (head_[have] == kNoIndex) {
        if (++have > kMaxOrder) {
            return false;
        }
    }
    index = head_[have];
    remove(index);
    while (have > order) {
        --have;
        u32 const upper = index + blocks_of(have);
        table_->block(upper).state = BlockState::FreeHead;
        insert(upper, have);
    }
    return true;
}

/// Puts a run of free blocks on its list, joined with every free buddy of the same node.
void FramePool::put_run(u32 index, unsigned order) {
    for (u32 i = index; i < index + blocks_of(order); ++i) {
        BlockRecord& b = table_->block(i);
        b.state = BlockState::FreeTail;
        b.owner = Owner::Free;
        b.kind = FrameKind::Free;
        b.order = kNoOrder;
    }
    // Segments begin and end at multiples of 1 GiB, in index as in address, so a buddy is never outside.
    while (order < kMaxOrder) {
        u32 const buddy = index ^ blocks_of(order);
        BlockRecord& b = table_->block(buddy);
        if (b.state != BlockState::FreeHead || b.order != order || b.node != node_) {
            break;
        }
        remove(buddy);
        b.state = BlockState::FreeTail;
        index = std::min(index, buddy);
        ++order;
    }
    table_->block(index).state = BlockState::FreeHead;
    insert(index, order);
}

/// Makes a free block that is off the lists a Split one whose frames are all free; still off the lists.
void FramePool::open_block(u32 index) {
    BlockRecord& b = table_->block(index);
    b.state = BlockState::Whole;
    b.owner = Owner::Free;
    b.kind = FrameKind::Free;
    table_->split_block(b);
    table_->group(b).free.fill(true);
    b.free_frames = kPagesPerLargePage;
}

/// Gives free frames of a Split block to @p owner and puts the block on the list it now fits.
void FramePool::take_in_block(u32 index, unsigned at, unsigned order, Owner owner, FrameKind kind) {
    BlockRecord& b = table_->block(index);
    FrameGroup& g = table_->group(b);
    g.free.set_run(at, order, false);
    b.free_frames = static_cast<u16>(b.free_frames - (1u << order));
    for (unsigned f = at; f < at + (1u << order); ++f) {
        g.frame[f] = {owner, kind, 0};
    }
    resort(index, g.free.largest_order(b.order == kNoOrder ? kBlockOrder - 1 : b.order));
}

/// Moves a Split block to the list of the largest order it can give now; kNone takes it off the lists.
void FramePool::resort(u32 index, int order) {
    BlockRecord& b = table_->block(index);
    u8 const wanted = order < 0 ? kNoOrder : static_cast<u8>(order);
    if (b.order == wanted) {
        return;
    }
    if (b.order != kNoOrder) {
        remove(index);
    }
    if (wanted != kNoOrder) {
        insert(index, wanted);
    }
}

/// Counts @p pages that were @p from's and are @p to's now.
void FramePool::passed(Owner from, Owner to, u64 pages) {
    auto const gained = [&](bool before, bool after) { return (after ? pages : 0) - (before ? pages : 0); };
    u64 const free = free_pages_ + gained(from == Owner::Free, to == Owner::Free);
    __atomic_store_n(&free_pages_, free, __ATOMIC_RELAXED);
    partition_pages_ += gained(is_partition(from), is_partition(to));
}

u64 FramePool::within_reach_pages() {
    LockGuard guard{lock_};
    return free_pages_ + partition_pages_;
}

bool FramePool::take(unsigned order, Owner owner, FrameKind kind, Hpa& out) {
    HV_ASSERT(order <= kMaxOrder && owner != Owner::Free && kind > FrameKind::Free);
    LockGuard guard{lock_};
    u32 index = kNoIndex;
    if (order >= kBlockOrder) {
        if (!take_run(order, index)) {
            return false;
        }
        for (u32 i = index; i < index + blocks_of(order); ++i) {
            BlockRecord& b = table_->block(i);
            b.state = BlockState::Whole;
            b.owner = owner;
            b.kind = kind;
        }
        out = table_->block_address(index);
    } else {
        unsigned have = order;
        while (have < kBlockOrder && head_[have] == kNoIndex) {
            ++have;
        }
        if (have < kBlockOrder) {
            index = head_[have];
        } else if (take_run(kBlockOrder, index)) {
            open_block(index);
        } else {
            return false;
        }
        int const at = table_->group(table_->block(index)).free.find(order);
        HV_ASSERT(at >= 0);
        take_in_block(index, static_cast<unsigned>(at), order, owner, kind);
        out = table_->block_address(index) + static_cast<u64>(at) * kPageBytes;
    }
    passed(Owner::Free, owner, 1ull << order);
    return true;
}

/// Takes the free block @p index out of the run it belongs to and puts the rest of that run back.
bool FramePool::isolate(u32 index) {
    for (unsigned order = kBlockOrder; order <= kMaxOrder; ++order) {
        u32 head = index & ~(blocks_of(order) - 1);
        BlockRecord const& b = table_->block(head);
        if (b.state != BlockState::FreeHead || b.order < order) {
            continue;
        }
        unsigned have = b.order;
        remove(head);
        while (have > kBlockOrder) {
            --have;
            u32 const upper = head + blocks_of(have);
            bool const in_upper = index >= upper;
            u32 const rest = in_upper ? head : upper;
            table_->block(rest).state = BlockState::FreeHead;
            insert(rest, have);
            head = in_upper ? upper : head;
        }
        return true;
    }
    return false;
}

bool FramePool::take_at(Hpa at, unsigned order, Owner owner, FrameKind kind) {
    HV_ASSERT(order <= kBlockOrder && at.aligned(kPageBytes << order));
    HV_ASSERT(owner != Owner::Free && kind > FrameKind::Free);
    LockGuard guard{lock_};
    u32 const index = table_->block_index(at);
    if (index == kNoIndex) {
        return false;
    }
    BlockRecord& b = table_->block(index);
    unsigned const frame = at.pfn() % kPagesPerLargePage;
    if (b.state == BlockState::Split) {
        if (order == kBlockOrder || !table_->group(b).free.run_free(frame, order)) {
            return false;
        }
        take_in_block(index, frame, order, owner, kind);
    } else if ((b.state == BlockState::FreeHead || b.state == BlockState::FreeTail) && isolate(index)) {
        if (order == kBlockOrder) {
            b.state = BlockState::Whole;
            b.owner = owner;
            b.kind = kind;
        } else {
            open_block(index);
            take_in_block(index, frame, order, owner, kind);
        }
    } else {
        return false;
    }
    passed(Owner::Free, owner, 1ull << order);
    return true;
}

/// A frame that is not the caller's to free was freed twice, or belongs to somebody else: our bug either way.
FrameKind FramePool::assert_owned(Hpa at, unsigned order, Owner owner) const {
    HV_ASSERT(order <= kMaxOrder && at.aligned(kPageBytes << order) && owner != Owner::Free);
    u32 const index = table_->block_index(at);
    HV_ASSERT(index != kNoIndex);
    FrameKind const kind = table_->at(at).kind;
    unsigned const first = at.pfn() % kPagesPerLargePage;
    u32 const blocks = order >= kBlockOrder ? blocks_of(order) : 1;
    unsigned const frames = order >= kBlockOrder ? kPagesPerLargePage : 1u << order;
    for (u32 i = index; i < index + blocks; ++i) {
        BlockRecord const& b = table_->block(i);
        HV_ASSERT(b.node == node_);
        if (b.state != BlockState::Split) {
            HV_ASSERT(b.state == BlockState::Whole && b.owner == owner && b.kind == kind);
            continue;
        }
        for (unsigned f = first; f < first + frames; ++f) {
            FrameRecord const& record = table_->group(b).frame[f];
            HV_ASSERT(record.owner == owner && record.kind == kind);
        }
    }
    return kind;
}

FrameKind FramePool::put(Hpa at, unsigned order, Owner owner) {
    LockGuard guard{lock_};
    FrameKind const kind = assert_owned(at, order, owner);
    u32 const index = table_->block_index(at);
    unsigned const frame = at.pfn() % kPagesPerLargePage;
    passed(owner, Owner::Free, 1ull << order);
    if (order >= kBlockOrder) {
        put_run(index, order);
        return kind;
    }
    BlockRecord& b = table_->block(index);
    if (b.state == BlockState::Whole) {
        table_->split_block(b);
    }
    FrameGroup& g = table_->group(b);
    g.free.set_run(frame, order, true);
    for (unsigned f = frame; f < frame + (1u << order); ++f) {
        g.frame[f] = {Owner::Free, FrameKind::Free, 0};
    }
    b.free_frames = static_cast<u16>(b.free_frames + (1u << order));
    if (b.free_frames == kPagesPerLargePage) {
        resort(index, FreeBits::kNone);
        put_run(index, kBlockOrder);
        return kind;
    }
    // Only the run that these frames are in can have grown.
    unsigned grown = order;
    while (g.free.run_free((frame >> grown ^ 1) << grown, grown)) {
        ++grown;
    }
    if (b.order == kNoOrder || grown > b.order) {
        resort(index, static_cast<int>(grown));
    }
    return kind;
}

FrameKind FramePool::change_owner(Hpa at, unsigned order, Owner from, Owner to, FrameKind kind) {
    HV_ASSERT(to != Owner::Free && kind > FrameKind::Free);
    LockGuard guard{lock_};
    FrameKind const was = assert_owned(at, order, from);
    passed(from, to, 1ull << order);
    u32 const index = table_->block_index(at);
    if (order >= kBlockOrder) {
        for (u32 i = index; i < index + blocks_of(order); ++i) {
            BlockRecord& b = table_->block(i);
            b.state = BlockState::Whole;
            b.owner = to;
            b.kind = kind;
        }
        return was;
    }
    BlockRecord& b = table_->block(index);
    if (b.state == BlockState::Whole) {
        table_->split_block(b);
    }
    unsigned const frame = at.pfn() % kPagesPerLargePage;
    for (unsigned f = frame; f < frame + (1u << order); ++f) {
        table_->group(b).frame[f] = {to, kind, 0};
    }
    return was;
}

u32 FramePool::free_runs(unsigned order) {
    HV_ASSERT(order >= kBlockOrder && order <= kMaxOrder);
    LockGuard guard{lock_};
    u32 count = 0;
    for (u32 i = head_[order]; i != kNoIndex; i = table_->block(i).next) {
        ++count;
    }
    return count;
}
} // namespace hv::mm
