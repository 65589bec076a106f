// SPDX-License-Identifier: Apache-2.0
// The walk: each partition marks the frames it reaches or holds, then every frame is asked whether that is
// right.
#include "hv/mm/memory_check.hpp"
#include <algorithm>
#include <iterator>

namespace hv::mm {
namespace {
using Kind = MemoryViolation::Kind;

/// Pages found per owner. Not on the stack, which is small; there is one check at a time.
constinit u64 owned_pages[kOwnerLimit] = {};

class Checker {
  public:
    explicit Checker(FrameAllocator& frames) : frames_{frames}, table_{frames.table()} {}

    MemoryReport run(std::span<GuestMemory const* const> partitions) {
        std::fill(std::begin(owned_pages), std::end(owned_pages), 0);
        clear_marks();
        for (GuestMemory const* memory : partitions) {
            check_partition(*memory);
        }
        check_frames();
        check_sums();
        return report_;
    }

  private:
    void blame(Kind kind, Owner owner, Gpa gpa, Hpa hpa, u64 expected = 0, u64 found = 0) {
        if (report_.ok()) {
            report_.violation = {kind, owner, gpa, hpa, expected, found};
        }
    }
    void expect(Kind kind, Owner owner, Gpa gpa, u64 expected, u64 found) {
        if (expected != found) {
            blame(kind, owner, gpa, {}, expected, found);
        }
    }

    void clear_marks() {
        for (u32 i = 0; i < table_.block_count(); ++i) {
            BlockRecord& b = table_.block(i);
            b.marked = 0;
            if (b.group != kNoIndex) {
                for (FrameRecord& record : table_.group(b).frame) {
                    record.marked = 0;
                }
            }
        }
    }

    /// Frames from @p at on are in use by @p owner as @p kind, and nowhere else.
    void mark(Hpa at, u64 pages, Owner owner, FrameKind kind, Kind if_foreign, Gpa gpa) {
        while (pages != 0) {
            u32 const index = table_.block_index(at);
            if (index == kNoIndex || table_.block(index).group == kNoIndex) {
                return blame(if_foreign, owner, gpa, at);
            }
            BlockRecord& b = table_.block(index);
            unsigned const first = at.pfn() % kPagesPerLargePage;
            u64 const count = pages < kPagesPerLargePage - first ? pages : kPagesPerLargePage - first;
            if (b.state == BlockState::Whole && count == kPagesPerLargePage) {
                if (b.owner != owner || b.kind != kind) {
                    return blame(if_foreign, owner, gpa, at);
                }
                if (b.marked != 0) {
                    return blame(Kind::FrameTwice, owner, gpa, at);
                }
                b.marked = kPagesPerLargePage;
            } else {
                for (unsigned f = first; f < first + count; ++f) {
                    mark_one(b, f, owner, kind, if_foreign, gpa, at + (f - first) * kPageBytes);
                }
            }
            at = at + count * kPageBytes;
            pages -= count;
        }
    }
    void mark_one(BlockRecord& b, unsigned frame, Owner owner, FrameKind kind, Kind if_foreign, Gpa gpa,
                  Hpa at) {
        FrameRecord& record = table_.group(b).frame[frame];
        FrameInfo const info = table_.at(at);
        if (info.owner != owner || info.kind != kind) {
            return blame(if_foreign, owner, gpa, at);
        }
        if (record.marked != 0 || b.marked == kPagesPerLargePage) {
            return blame(Kind::FrameTwice, owner, gpa, at);
        }
        record.marked = 1;
        ++b.marked;
    }

    void check_partition(GuestMemory const& memory) {
        memory_ = &memory;
        u64 const backed = check_blocks();
        leaf_block_ = kNoIndex;
        leaf_count_ = small_leaves_ = large_pages_ = guards_ = 0;
        u64 guards = 0;
        if (NestedMap const* map = memory.map()) {
            map->for_each(
                [](void* self, NestedLeaf const& leaf) { static_cast<Checker*>(self)->on_leaf(leaf); }, this);
            end_block();
            map->for_each_table([](void* self, Hpa at) { static_cast<Checker*>(self)->on_table(at); }, this);
        }
        expect(Kind::MappedCount, memory.owner(), {}, memory.mapped_small_pages(), small_leaves_);
        expect(Kind::MappedCount, memory.owner(), {}, memory.mapped_large_pages(), large_pages_);
        u64 waiting = 0, listed = 0;
        for (u32 i = 0; i < memory.block_count(); ++i) {
            GuestBlock const& b = memory.block(i);
            waiting += b.waiting();
            guards += b.guards;
            if (b.run != GuestBlock::kNoRun) {
                mark({u64{b.run} * kLargePageBytes}, kPagesPerLargePage, memory.owner(), FrameKind::Guest,
                     Kind::WaitingCount, memory.block_address(i));
            }
        }
        memory.for_each_waiting([&](Hpa at) {
            ++listed;
            mark(at, 1, memory.owner(), FrameKind::Guest, Kind::WaitingCount, {});
        });
        expect(Kind::WaitingCount, memory.owner(), {}, waiting, listed);
        expect(Kind::GuardCount, memory.owner(), {}, guards, guards_);
        memory.table_pool().frames().for_each(
            [&](Hpa at) { mark(at, 1, memory.owner(), FrameKind::NestedTable, Kind::TableNotOwned, {}); });
        expect(Kind::AssignedCount, memory.owner(), {}, memory.backed_pages(), backed);
        expect(Kind::AssignedCount, memory.owner(), {}, backed, frames_.count(memory.owner()).guest_pages);
        report_.assigned_pages += backed;
        report_.ballooned_pages += memory.ballooned_pages();
        ++report_.partitions;
    }

    u64 check_blocks() {
        u64 sums[4] = {};
        for (u32 i = 0; i < memory_->block_count(); ++i) {
            u64 counts[4] = {};
            for (unsigned page = 0; page < kPagesPerLargePage; ++page) {
                ++counts[static_cast<u8>(memory_->states(i).get(page))];
            }
            GuestBlock const& b = memory_->block(i);
            Gpa const at = memory_->block_address(i);
            expect(Kind::BlockCounts, memory_->owner(), at, counts[1], b.backed);
            expect(Kind::BlockCounts, memory_->owner(), at, counts[2], b.ballooned);
            expect(Kind::BlockCounts, memory_->owner(), at, counts[3], b.paged);
            if ((b.large || b.run != GuestBlock::kNoRun) && (!b.whole() || b.mapped != 0)) {
                blame(Kind::BlockCounts, memory_->owner(), at, {});
            }
            for (unsigned s = 0; s < 4; ++s) {
                sums[s] += counts[s];
            }
        }
        expect(Kind::BlockCounts, memory_->owner(), {}, memory_->ballooned_pages(), sums[2]);
        return sums[1];
    }

    void on_leaf(NestedLeaf const& leaf) {
        Owner const owner = memory_->owner();
        if (leaf.guarded ? leaf.bytes != kPageBytes : leaf.access != Access::RWX) {
            blame(Kind::GuardCount, owner, leaf.gpa, leaf.hpa);
        }
        mark(leaf.hpa, leaf.bytes / kPageBytes, owner, FrameKind::Guest, Kind::LeafNotOwned, leaf.gpa);
        (leaf.bytes == kPageBytes        ? report_.leaves_4k
         : leaf.bytes == kLargePageBytes ? report_.leaves_2m
                                         : report_.leaves_1g) += 1;
        if (leaf.bytes == kPageBytes) {
            if (memory_->state(leaf.gpa) != PageState::Backed) {
                blame(Kind::LeafNotBacked, owner, leaf.gpa, leaf.hpa);
            }
            if (leaf.gpa.large_page().raw != leaf_block_) {
                end_block();
                leaf_block_ = leaf.gpa.large_page().raw;
            }
            ++leaf_count_;
            ++small_leaves_;
            guards_ += leaf.guarded;
            block_guards_ += leaf.guarded;
            return;
        }
        for (u64 offset = 0; offset < leaf.bytes; offset += kLargePageBytes) {
            GuestBlock const* b = memory_->find_block(leaf.gpa + offset);
            if (b == nullptr || !b->large || !b->whole()) {
                blame(Kind::LeafNotBacked, owner, leaf.gpa + offset, leaf.hpa + offset);
            }
        }
        large_pages_ += leaf.bytes / kPageBytes;
    }
    /// The leaves of one block have all been seen.
    void end_block() {
        if (leaf_count_ != 0) {
            GuestBlock const* b = memory_->find_block(Gpa{leaf_block_});
            expect(Kind::MappedCount, memory_->owner(), Gpa{leaf_block_}, b == nullptr ? 0 : b->mapped,
                   leaf_count_);
            expect(Kind::GuardCount, memory_->owner(), Gpa{leaf_block_}, b == nullptr ? 0 : b->guards,
                   block_guards_);
        }
        leaf_count_ = block_guards_ = 0;
    }
    void on_table(Hpa at) {
        mark(at, 1, memory_->owner(), FrameKind::NestedTable, Kind::TableNotOwned, {});
        ++report_.table_pages;
    }

    void check_frames() {
        for (u32 i = 0; i < table_.block_count(); ++i) {
            BlockRecord const& b = table_.block(i);
            Hpa const at = table_.block_address(i);
            switch (b.state) {
            case BlockState::NoRam: break;
            case BlockState::FreeHead:
            case BlockState::FreeTail: count(Owner::Free, FrameKind::Free, kPagesPerLargePage, at); break;
            case BlockState::Whole:
                count(b.owner, b.kind, kPagesPerLargePage, at);
                if (b.kind == FrameKind::Guest && b.marked != kPagesPerLargePage) {
                    blame(Kind::FrameLost, b.owner, {}, at, kPagesPerLargePage, b.marked);
                }
                break;
            case BlockState::Split: check_split(b, at); break;
            }
        }
    }
    void check_split(BlockRecord const& b, Hpa at) {
        FrameGroup const& group = table_.group(b);
        u64 free = 0;
        for (unsigned f = 0; f < kPagesPerLargePage; ++f) {
            FrameRecord const& record = group.frame[f];
            Hpa const frame = at + f * kPageBytes;
            bool const is_free = record.kind == FrameKind::Free;
            free += is_free;
            if (record.kind == FrameKind::NotRam) {
                continue;
            }
            if (is_free != group.free.test(f)) {
                blame(Kind::BadRecord, record.owner, {}, frame);
            }
            count(record.owner, record.kind, 1, frame);
            if (record.kind == FrameKind::Guest && record.marked == 0) {
                blame(Kind::FrameLost, record.owner, {}, frame, 1, 0);
            }
        }
        if (free != b.free_frames) {
            blame(Kind::FreeCount, Owner::Free, {}, at, free, b.free_frames);
        }
    }
    void count(Owner owner, FrameKind kind, u64 pages, Hpa at) {
        if ((owner == Owner::Free) != (kind == FrameKind::Free) || static_cast<u16>(owner) >= kOwnerLimit ||
            (kind == FrameKind::Guest && !is_partition(owner))) {
            return blame(Kind::BadRecord, owner, {}, at);
        }
        report_.ram_pages += pages;
        if (owner == Owner::Free) {
            report_.free_pages += pages;
        } else {
            owned_pages[static_cast<u16>(owner)] += pages;
            report_.hypervisor_pages += kind == FrameKind::Guest ? 0 : pages;
        }
    }

    void check_sums() {
        for (u16 owner = 1; owner < kOwnerLimit; ++owner) {
            Owner const who = static_cast<Owner>(owner);
            expect(Kind::OwnerCount, who, {}, frames_.count(who).pages, owned_pages[owner]);
        }
        u64 pools = 0;
        for (u32 n = 0; n < frames_.node_count(); ++n) {
            pools += frames_.free_pages(n);
        }
        expect(Kind::FreeCount, Owner::Free, {}, pools, report_.free_pages);
        expect(Kind::FreeCount, Owner::Free, {}, frames_.free_pages(), report_.free_pages);
        expect(Kind::OwnerCount, Owner::Free, {}, table_.ram_pages(), report_.ram_pages);
        report_.reserve_pages = frames_.reserve_pages();
        // What the hypervisor has already taken out of the reserve for itself is not asked for twice.
        u64 const reserve =
            report_.reserve_pages < report_.free_pages ? report_.reserve_pages : report_.free_pages;
        u64 const sum = report_.hypervisor_pages + reserve + report_.assigned_pages;
        if (sum > report_.ram_pages) {
            blame(Kind::Overcommitted, Owner::Hypervisor, {}, {}, report_.ram_pages, sum);
        }
    }

    FrameAllocator& frames_;
    FrameTable& table_;
    MemoryReport report_;
    GuestMemory const* memory_ = nullptr;
    u64 leaf_block_ = 0, leaf_count_ = 0, block_guards_ = 0;
    u64 small_leaves_ = 0, large_pages_ = 0, guards_ = 0; ///< of the partition
};

constexpr std::string_view kNames[] = {
    "none",
    "a guest maps a frame that is not its own",
    "a frame is in use twice",
    "a page is mapped that is not backed",
    "page states and block counts disagree",
    "leaves and counts disagree",
    "guards and counts disagree",
    "a nested table lies in a foreign frame",
    "a guest frame is in no partition's hands",
    "frames held ready do not match waiting pages",
    "assigned frames and backed pages disagree",
    "an owner's count is wrong",
    "the free count is wrong",
    "a frame record contradicts itself",
    "hypervisor + reserve + assigned exceed RAM",
};
} // namespace

MemoryReport check_memory(FrameAllocator& frames, std::span<GuestMemory const* const> partitions) {
    return Checker{frames}.run(partitions);
}

void print(TextBuffer& out, MemoryReport const& r) {
    if (!r.ok()) {
        MemoryViolation const& v = r.violation;
        format(out, "memory check FAILED: {}: owner {} gpa {:x} hpa {:x} expected {} found {}",
               kNames[static_cast<u8>(v.kind)], v.owner, v.gpa.raw, v.hpa.raw, v.expected, v.found);
        return;
    }
    format(out,
           "memory check ok: {} pages of RAM = {} hypervisor + {} assigned to {} partitions + {} free "
           "(reserve {}); "
           "{} ballooned; leaves 1G {} 2M {} 4K {}, tables {}",
           r.ram_pages, r.hypervisor_pages, r.assigned_pages, r.partitions, r.free_pages, r.reserve_pages,
           r.ballooned_pages, r.leaves_1g, r.leaves_2m, r.leaves_4k, r.table_pages);
}
} // namespace hv::mm
