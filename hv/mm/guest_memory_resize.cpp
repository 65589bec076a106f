// SPDX-License-Identifier: Apache-2.0
// Guest memory: frames in and out. Whole 2 MiB blocks are one record here, one leaf in the map and one block
// in the frame table; only what is in pieces is handled by the page.
#include "hv/mm/guest_memory.hpp"
#include <algorithm>
#include <bit>

namespace hv::mm {
Result<void, RangeError> GuestMemory::check(Gpa gpa, u64 pages, PageState wanted) const {
    bool inside = false;
    for (Area const& area : areas_) {
        u64 const offset = gpa.raw - area.first;
        inside = inside || (offset < area.bytes && pages <= (area.bytes - offset) / kPageBytes);
    }
    if (!inside || pages == 0 || !gpa.aligned(kPageBytes)) {
        return Err{RangeError::NotRam};
    }
    bool same = true;
    for_each_piece(gpa, pages, [&](Piece const& p, Gpa) {
        GuestBlock const& b = blocks_[p.block];
        if (wanted == PageState::Backed && b.whole()) {
            return;
        }
        same = same && (wanted == PageState::Ballooned && b.ballooned == kPagesPerLargePage
                            ? true
                            : states_[p.block].all(p.first, p.count, wanted));
    });
    if (!same) {
        return Err{RangeError::WrongState};
    }
    return {};
}

Result<Hpa, FrameError> GuestMemory::get(unsigned order) {
    auto const near = frames_.allocate(order, home_node_, owner_, FrameKind::Guest);
    if (near.ok() || !spanning_) {
        return near;
    }
    return frames_.allocate(order, kAnyNode, owner_, FrameKind::Guest);
}

/// So that they come out again in ascending order.
void GuestMemory::push_pages(Hpa at, u64 pages, FrameStash& to) {
    while (pages != 0) {
        --pages;
        to.push(at + pages * kPageBytes);
    }
}

/// Gets single frames in the largest pieces there are; those that follow each other may be joined later.
bool GuestMemory::get_singles(u64 pages, FrameStash& to) {
    unsigned order = kBlockOrder;
    while (pages != 0) {
        order = std::min(order, static_cast<unsigned>(std::bit_width(pages)) - 1);
        auto const piece = get(order);
        if (piece.ok()) {
            push_pages(piece.value(), 1ull << order, to);
            pages -= 1ull << order;
        } else if (order-- == 0) {
            return false;
        }
    }
    return true;
}

/// Frees frames that were never mapped, as many at once as follow each other.
void GuestMemory::drop_singles(FrameStash& from, u64 count) {
    while (count != 0) {
        Hpa const first = from.pop();
        u64 pages = 1;
        Hpa next{~0ull};
        while (pages < count && (next = from.pop()) == first + pages * kPageBytes) {
            ++pages;
        }
        if (pages < count) {
            from.push(next); // begins the next stretch
        }
        frames_.free_pages(first, pages, owner_);
        count -= pages;
    }
}

/// Frames for every page of a range none of which is backed: runs go straight to whole blocks, the rest on
/// top of the stash; and tables for the blocks that got no run. Undone by unsupply() when it fails.
bool GuestMemory::supply(Gpa gpa, u64 pages) {
    if (frames_.guest_free_pages() < pages) {
        return false;
    }
    u64 const waiting = stash_.count();
    u64 missing = 0, new_tables = 0, gpa_end = gpa.raw + pages * kPageBytes;
    u32 last_of_huge = 0; ///< blocks below this index have their part of a 1 GiB run
    for_each_piece(gpa, pages, [&](Piece const& p, Gpa at) {
        GuestBlock& b = blocks_[p.block];
        if (p.whole() && !small_only_) {
            if (p.block < last_of_huge) {
                return;
            }
            if (at.aligned(kHugePageBytes) && gpa_end - at.raw >= kHugePageBytes) {
                if (auto const huge = get(kMaxOrder); huge.ok()) {
                    for (u32 i = 0; i < kPagesPerLargePage; ++i) {
                        blocks_[p.block + i].run = static_cast<u32>(huge.value().raw / kLargePageBytes) + i;
                    }
                    last_of_huge = p.block + kPagesPerLargePage;
                    return;
                }
            }
            if (auto const run = get(kBlockOrder); run.ok()) {
                b.run = static_cast<u32>(run.value().raw / kLargePageBytes);
                return;
            }
        }
        missing += p.count;
        // A block in pieces counts already when it has or wants a table; a run it has will be used up whole.
        new_tables += b.mapped == 0 && !b.wants_table();
    });
    if (!get_singles(missing, stash_) || !tables_.fill(tables_needed() + new_tables)) {
        unsupply(gpa, pages, stash_.count() - waiting);
        return false;
    }
    return true;
}

void GuestMemory::unsupply(Gpa gpa, u64 pages, u64 singles) {
    for_each_piece(gpa, pages, [&](Piece const& p, Gpa) {
        GuestBlock& b = blocks_[p.block];
        if (b.run != GuestBlock::kNoRun) { // of supply(): a block with unbacked pages has none otherwise
            frames_.free(run_address(b), kBlockOrder, owner_);
            b.run = GuestBlock::kNoRun;
        }
    });
    drop_singles(stash_, singles);
    settle_tables();
}

Result<void, RangeError> GuestMemory::back(Gpa gpa, u64 pages, PageState from) {
    HV_TRY(check(gpa, pages, from));
    if (!supply(gpa, pages)) {
        return Err{RangeError::OutOfFrames};
    }
    for_each_piece(gpa, pages, [&](Piece const& p, Gpa) {
        states_[p.block].set(p.first, p.count, PageState::Backed);
        update(blocks_[p.block], [&](GuestBlock& b) {
            b.backed = static_cast<u16>(b.backed + p.count);
            b.ballooned = static_cast<u16>(b.ballooned - (from == PageState::Ballooned ? p.count : 0));
        });
        GuestBlock& b = blocks_[p.block];
        if (!p.whole() && b.whole() && b.mapped == 0) {
            swap_for_run(b);
        }
    });
    settle_tables();
    return {};
}

/// A whole block that waits for single frames gets a run for them, if there is one.
bool GuestMemory::swap_for_run(GuestBlock& b) {
    if (small_only_ || b.waiting() != kPagesPerLargePage) {
        return false;
    }
    auto const run = get(kBlockOrder);
    if (!run.ok()) {
        return false;
    }
    update(b, [&](GuestBlock& block) { block.run = static_cast<u32>(run.value().raw / kLargePageBytes); });
    drop_singles(stash_, kPagesPerLargePage);
    return true;
}

Result<void, RangeError> GuestMemory::give_back(Gpa gpa, u64 pages) {
    return back(gpa, pages, PageState::Ballooned);
}

Result<void, RangeError> GuestMemory::hot_add(Gpa gpa, u64 pages) {
    if (!layout_.hot.contains(gpa)) {
        return Err{RangeError::NotRam};
    }
    return back(gpa, pages, PageState::NotAdded);
}

/// How many frames the pool must hold so that no touch and no balloon_out() finds it empty.
u64 GuestMemory::tables_needed() const {
    if (map_ == nullptr) {
        return blocks_wanting_table_ + upper_tables_ + kSpareTables + kMapFrames;
    }
    u64 const upper_made = map_->counts().table_frames - 1 - blocks_with_table_;
    return blocks_wanting_table_ + upper_tables_ - std::min(upper_made, upper_tables_) + kSpareTables;
}

void GuestMemory::settle_tables() {
    u64 const needed = tables_needed();
    if (tables_.available() < needed) {
        counters_.late_tables += needed - tables_.available();
        tables_.fill(needed);
    } else if (tables_.available() > needed + kSlackTables) {
        tables_.trim(needed);
    }
}

/// Guest frames leave the partition. One may stay as a table: giving memory away must need none.
void GuestMemory::release(Hpa at, u64 pages) {
    while (pages != 0 && tables_.available() < tables_needed()) {
        tables_.adopt(at);
        at = at + kPageBytes;
        --pages;
    }
    frames_.free_pages(at, pages, owner_);
}

void GuestMemory::take_and_release(Gpa gpa, u64 bytes) {
    struct Run {
        GuestMemory* self;
        Hpa first;
        u64 pages;
    } run{this, {}, 0};
    auto const removed = [](void* context, NestedLeaf const& leaf) {
        Run& r = *static_cast<Run*>(context);
        if (r.first + r.pages * kPageBytes != leaf.hpa) {
            r.self->release(r.first, r.pages);
            r.first = leaf.hpa;
            r.pages = 0;
        }
        r.pages += leaf.bytes / kPageBytes;
    };
    auto const taken = map_->take(gpa, bytes, removed, &run);
    HV_ASSERT(taken.ok()); // the pool has kSpareTables for its two ends
    release(run.first, run.pages);
}

/// Blocks mapped large from @p gpa on: one pass over the map for all of them.
/// @return how many
u32 GuestMemory::balloon_large(Gpa gpa, u64 pages) {
    u32 const first = block_index(gpa), limit = first + static_cast<u32>(pages / kPagesPerLargePage);
    u32 end = first;
    for (; end < limit && blocks_[end].large; ++end) {
        states_[end].fill(PageState::Ballooned);
        update(blocks_[end], [](GuestBlock& b) {
            b.large = false;
            b.backed = 0;
            b.ballooned = kPagesPerLargePage;
        });
    }
    take_and_release(gpa, u64{end - first} * kLargePageBytes);
    return end - first;
}

void GuestMemory::balloon_piece(Gpa gpa, Piece const& p) {
    GuestBlock& b = blocks_[p.block];
    GuestBlock const was = b;
    u64 const bytes = p.count * kPageBytes;
    states_[p.block].set(p.first, p.count, PageState::Ballooned);
    auto const account = [&](GuestBlock& block) {
        block.backed = static_cast<u16>(block.backed - p.count);
        block.ballooned = static_cast<u16>(block.ballooned + p.count);
    };
    if (was.run != GuestBlock::kNoRun) {
        Hpa const run = run_address(was);
        update(b, [&](GuestBlock& block) {
            account(block);
            block.run = GuestBlock::kNoRun;
        });
        unsigned const after = p.first + p.count;
        push_pages(run + after * kPageBytes, kPagesPerLargePage - after, stash_);
        push_pages(run, p.first, stash_);
        release(run + p.first * kPageBytes, p.count);
        return;
    }
    u64 mapped = 0;
    if (was.large || was.mapped == was.backed) {
        mapped = p.count;
    } else if (p.whole()) {
        mapped = was.mapped;
    } else if (was.mapped != 0) {
        for (u64 offset = 0; offset < bytes; offset += kPageBytes) {
            mapped += map_->lookup(gpa + offset).ok();
        }
    }
    u16 const guards = was.guards == 0 ? u16{0} : guards_in(gpa, p);
    counters_.dropped_guards += guards;
    // The books first: release() asks them how many tables the partition still needs.
    update(b, [&](GuestBlock& block) {
        account(block);
        u64 const before = was.large ? kPagesPerLargePage : was.mapped;
        block.large = false;
        block.mapped = static_cast<u16>(before - mapped);
        block.guards = static_cast<u16>(block.guards - guards);
    });
    if (mapped != 0) {
        take_and_release(gpa, bytes);
    }
    u64 unmapped = p.count - mapped;
    for (; unmapped != 0 && tables_.available() < tables_needed(); --unmapped) {
        release(stash_.pop(), 1);
    }
    drop_singles(stash_, unmapped);
}

Result<void, RangeError> GuestMemory::balloon_out(Gpa gpa, u64 pages) {
    HV_TRY(check(gpa, pages, PageState::Backed));
    while (pages != 0) {
        u32 const index = block_index(gpa);
        unsigned const first = gpa.pfn() % kPagesPerLargePage;
        u64 count = std::min<u64>(pages, kPagesPerLargePage - first);
        if (count == kPagesPerLargePage && blocks_[index].large) {
            count = u64{balloon_large(gpa, pages)} * kPagesPerLargePage;
        } else {
            balloon_piece(gpa, {index, first, static_cast<unsigned>(count)});
        }
        gpa = gpa + count * kPageBytes;
        pages -= count;
    }
    settle_tables();
    return {};
}
} // namespace hv::mm
