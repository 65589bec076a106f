// SPDX-License-Identifier: Apache-2.0
// Guest memory: what a partition's start, end and idle times need. Seldom: compiled for size.
#include "hv/mm/guest_memory.hpp"
#include "hv/mm/page_fill.hpp"
#include <algorithm>

namespace hv::mm {
void GuestMemory::drop_runs(FrameStash& runs) {
    while (runs.count() != 0) {
        frames_.free(runs.pop(), kBlockOrder, owner_);
    }
}

/// Empties the map and the blocks' runs; afterwards the frames of all backed pages are in the two lists.
void GuestMemory::unmap_into(FrameStash& runs, FrameStash& singles) {
    struct Lists {
        FrameStash &runs, &singles;
    } lists{runs, singles};
    auto const removed = [](void* context, NestedLeaf const& leaf) {
        Lists& to = *static_cast<Lists*>(context);
        if (leaf.bytes == kPageBytes) {
            to.singles.push(leaf.hpa);
            return;
        }
        for (u64 offset = leaf.bytes; offset != 0; offset -= kLargePageBytes) {
            to.runs.push(leaf.hpa + (offset - kLargePageBytes));
        }
    };
    for (unsigned i = 3; i-- > 0;) { // from the top, so that low blocks get theirs back
        if (map_ != nullptr && areas_[i].bytes != 0) {
            auto const taken = map_->take(Gpa{areas_[i].first}, areas_[i].bytes, removed, &lists);
            HV_ASSERT(taken.ok()); // no leaf reaches out of an area
        }
    }
    for (u32 i = block_count_; i-- > 0;) {
        GuestBlock& b = blocks_[i];
        if (b.run != GuestBlock::kNoRun) {
            runs.push(run_address(b));
        }
        counters_.dropped_guards += b.guards;
        states_[i].fill(PageState::NotAdded);
        update(b, [](GuestBlock& block) { block = GuestBlock{}; });
    }
    while (stash_.count() != 0) {
        singles.push(stash_.pop());
    }
}

void GuestMemory::discard() {
    FrameStash runs{frames_.map()}, singles{frames_.map()};
    unmap_into(runs, singles);
    drop_runs(runs);
    drop_singles(singles, singles.count());
}

u64 GuestMemory::restart_shortage_pages() const {
    u64 const after = backed_pages_ + frames_.guest_free_pages();
    return startup_pages() > after ? startup_pages() - after : 0;
}

/// Startup memory out of the two lists, which hold enough; what is over goes back to the machine.
void GuestMemory::assign_startup(FrameStash& runs, FrameStash& singles) {
    layout_.each_startup_range([&](Gpa first, u64 pages) {
        for_each_piece(first, pages, [&](Piece const& p, Gpa) {
            states_[p.block].set(p.first, p.count, PageState::Backed);
            update(blocks_[p.block], [&](GuestBlock& b) {
                b.backed = static_cast<u16>(b.backed + p.count);
                if (p.whole() && !small_only_ && runs.count() != 0) {
                    b.run = static_cast<u32>(runs.pop().raw / kLargePageBytes);
                }
            });
        });
    });
    u64 waiting = 0;
    for (u32 i = 0; i < block_count_; ++i) {
        waiting += blocks_[i].waiting();
    }
    while (stash_.count() < waiting) {
        if (singles.count() == 0) {
            push_pages(runs.pop(), kPagesPerLargePage, singles);
        }
        stash_.push(singles.pop());
    }
    drop_runs(runs);
    drop_singles(singles, singles.count());
}

Result<void, RangeError> GuestMemory::reset_for_restart() {
    FrameStash runs{frames_.map()}, singles{frames_.map()};
    u64 missing = startup_pages() > backed_pages_ ? startup_pages() - backed_pages_ : 0;
    while (!small_only_ && missing >= kPagesPerLargePage) {
        auto const run = get(kBlockOrder);
        if (!run.ok()) {
            break;
        }
        runs.push(run.value());
        missing -= kPagesPerLargePage;
    }
    u64 have_runs = runs.count() + large_blocks_, whole_blocks = 0, blocks = 0;
    for (u32 i = 0; i < block_count_; ++i) {
        have_runs += blocks_[i].run != GuestBlock::kNoRun;
    }
    layout_.each_startup_range([&](Gpa first, u64 pages) {
        for_each_piece(first, pages, [&](Piece const& p, Gpa) {
            whole_blocks += p.whole() && !small_only_;
            ++blocks;
        });
    });
    // All tables come back to the pool first; it must hold what blocks without a run will need, and the rest.
    u64 const in_use = map_->counts().table_frames - 1;
    u64 const tables = blocks - std::min(have_runs, whole_blocks) + upper_tables_ + kSpareTables;
    if (!get_singles(missing, singles) || !tables_.fill(tables > in_use ? tables - in_use : 0)) {
        drop_runs(runs);
        drop_singles(singles, singles.count());
        settle_tables();
        return Err{RangeError::OutOfFrames};
    }
    unmap_into(runs, singles);
    assign_startup(runs, singles);
    for (u32 i = 0; i < block_count_; ++i) {
        if (blocks_[i].whole() && blocks_[i].run == GuestBlock::kNoRun && !swap_for_run(blocks_[i])) {
            break; // no run to be had for this one, nor for the next
        }
    }
    settle_tables();
    return {};
}

bool GuestMemory::compact_block(Gpa at) {
    u32 const index = block_index(at);
    if (index == kNoBlock || small_only_ || !blocks_[index].whole()) {
        return false;
    }
    GuestBlock& b = blocks_[index];
    Gpa const start = at.large_page();
    if (b.large) {
        return true;
    }
    if (b.run != GuestBlock::kNoRun || b.mapped == 0 || b.guards != 0) {
        return false; // if nothing of it is mapped, the next touch maps it large, if there is a run
    }
    auto const run = get(kBlockOrder);
    if (!run.ok()) {
        return false;
    }
    for (u64 offset = 0; offset < kLargePageBytes; offset += kPageBytes) {
        auto const leaf = map_->lookup(start + offset);
        void* const to = frames_.map().pointer(run.value() + offset);
        if (leaf.ok()) {
            copy_words(to, frames_.map().pointer(leaf.value().hpa), kPageBytes);
        } else {
            zero_words(to, kPageBytes);
            ++counters_.zeroed_pages;
            frames_.free(stash_.pop(), 0, owner_);
        }
    }
    update(b, [](GuestBlock& block) {
        block.mapped = 0;
        block.large = true;
    });
    take_and_release(start, kLargePageBytes);
    auto const mapped = map_->map(start, run.value(), kLargePageBytes, Access::RWX);
    HV_ASSERT(mapped.ok());
    ++counters_.compactions;
    map_->try_join(start);
    settle_tables();
    return true;
}

bool GuestMemory::compact_some(u32 most) {
    for (u32 left = small_only_ ? 0 : std::min(most, block_count_); left != 0; --left) {
        compact_next_ = compact_next_ + 1 < block_count_ ? compact_next_ + 1 : 0;
        GuestBlock const& b = blocks_[compact_next_];
        if (b.whole() && b.mapped != 0) {
            return compact_block(block_address(compact_next_)); // one try: without a run now, there is none
        }
    }
    return false;
}

void GuestMemory::withdraw(Gpa gpa, u64 pages) {
    HV_ASSERT(balloon_out(gpa, pages).ok());
    for_each_piece(gpa, pages, [&](Piece const& p, Gpa) {
        states_[p.block].set(p.first, p.count, PageState::NotAdded);
        update(blocks_[p.block],
               [&](GuestBlock& b) { b.ballooned = static_cast<u16>(b.ballooned - p.count); });
    });
}
} // namespace hv::mm
