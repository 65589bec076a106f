// SPDX-License-Identifier: Apache-2.0
// Guest memory: set-up, the nested fault, and access by the hypervisor.
#include "hv/mm/guest_memory.hpp"
#include <algorithm>

namespace hv::mm {
namespace {
u64 blocks_of(GuestRange const& range) {
    return align_up(range.bytes(), kLargePageBytes) / kLargePageBytes;
}
/// Tables of 2 MiB and 1 GiB entries that a range can need.
u64 upper_tables_of(GuestRange const& range) {
    if (range.bytes() == 0) {
        return 0;
    }
    auto const spanned = [&](u64 bytes) {
        return (range.last.raw - 1) / bytes - range.first.raw / bytes + 1;
    };
    return spanned(kHugePageBytes) + spanned(512 * kHugePageBytes);
}

/// Whether no node can ever have so much, whoever gives back what: then there is nothing to wait for.
bool exceeds_every_node(FrameAllocator& frames, u64 pages) {
    for (u32 node = 0; node < frames.node_count(); ++node) {
        if (frames.guest_limit_pages(node) >= pages) {
            return false;
        }
    }
    return true;
}
} // namespace

GuestMemory::GuestMemory(FrameAllocator& frames, GuestMemoryConfig const& config, u32 home_node)
    : frames_{frames},
      layout_{GuestLayout::of(config.startup_bytes, config.maximum_bytes)},
      owner_{config.owner},
      home_node_{home_node},
      spanning_{config.numa_spanning},
      small_only_{config.small_pages_only},
      stash_{frames.map()},
      tables_{frames, config.owner, config.numa_spanning ? kAnyNode : home_node} {
    GuestRange const ranges[3] = {layout_.low, layout_.high, layout_.hot};
    for (unsigned i = 0; i < 3; ++i) {
        areas_[i] = {ranges[i].first.raw, ranges[i].bytes(), block_count_};
        block_count_ += static_cast<u32>(blocks_of(ranges[i]));
        upper_tables_ += upper_tables_of(ranges[i]);
    }
}

bool GuestMemory::make_arrays(KernelHeap& heap) {
    blocks_ = static_cast<GuestBlock*>(heap.allocate(block_count_ * sizeof(GuestBlock), kPageBytes));
    states_ = static_cast<BlockStates*>(heap.allocate(block_count_ * sizeof(BlockStates), kPageBytes));
    if (blocks_ == nullptr || states_ == nullptr) {
        return false;
    }
    for (u32 i = 0; i < block_count_; ++i) {
        new (&blocks_[i]) GuestBlock;
        new (&states_[i]) BlockStates;
    }
    return true;
}

Result<GuestMemory*, GuestMemoryRefusal> GuestMemory::create(KernelHeap& heap, FrameAllocator& frames,
                                                             GuestMemoryConfig const& config) {
    using Why = GuestMemoryRefusal::Why;
    if (config.startup_bytes < 1 * MiB || config.startup_bytes % kPageBytes != 0 ||
        config.maximum_bytes % kPageBytes != 0 || config.maximum_bytes < config.startup_bytes ||
        config.maximum_bytes > 1ull << 46) {
        return Err{GuestMemoryRefusal{Why::BadSizes}};
    }
    u64 const needed = GuestLayout::of(config.startup_bytes, config.maximum_bytes).startup_pages();
    u32 emptiest = 0;
    for (u32 n = 1; n < frames.node_count(); ++n) {
        emptiest = frames.free_pages(n) > frames.free_pages(emptiest) ? n : emptiest;
    }
    bool const near = config.near_node < frames.node_count() && frames.free_pages(config.near_node) >= needed;
    u32 const home = near ? config.near_node : emptiest;
    u64 const machine_free = frames.guest_free_pages();
    bool const hopeless = !config.numa_spanning && exceeds_every_node(frames, needed);
    if (machine_free < needed && !hopeless) {
        return Err{GuestMemoryRefusal{Why::NotEnough, kAnyNode, needed, machine_free}};
    }
    if (hopeless || (!config.numa_spanning && frames.free_pages(home) < needed)) {
        return Err{GuestMemoryRefusal{Why::NoNodeFits, home, needed, frames.free_pages(home)}};
    }
    auto* const memory = make<GuestMemory>(heap, frames, config, home);
    if (memory == nullptr || !memory->make_arrays(heap)) {
        destroy(heap, memory);
        return Err{GuestMemoryRefusal{Why::NoHostMemory, kAnyNode, needed, machine_free}};
    }
    bool backed = true;
    memory->layout_.each_startup_range([&](Gpa first, u64 pages) {
        backed = backed && memory->back(first, pages, PageState::NotAdded).ok();
    });
    if (!backed) {
        destroy(heap, memory);
        if (home != emptiest) { // no room for the tables beside it
            GuestMemoryConfig anywhere = config;
            anywhere.near_node = kAnyNode;
            return create(heap, frames, anywhere);
        }
        u32 const node = config.numa_spanning ? kAnyNode : home;
        u64 const free_now = config.numa_spanning ? frames.guest_free_pages() : frames.free_pages(home);
        return Err{GuestMemoryRefusal{config.numa_spanning ? Why::NotEnough : Why::NoNodeFits, node, needed,
                                      free_now}};
    }
    return memory;
}

void GuestMemory::destroy(KernelHeap& heap, GuestMemory* memory) {
    if (memory == nullptr) {
        return;
    }
    bool const made = memory->blocks_ != nullptr && memory->states_ != nullptr; // by make_arrays()
    if (made && memory->map_ == nullptr) {
        memory->discard();
    }
    HV_ASSERT(memory->backed_pages_ == 0 && memory->stash_.count() == 0);
    memory->tables_.trim(0);
    if (memory->blocks_ != nullptr) {
        heap.free(memory->blocks_, memory->block_count_ * sizeof(GuestBlock), kPageBytes);
    }
    if (memory->states_ != nullptr) {
        heap.free(memory->states_, memory->block_count_ * sizeof(BlockStates), kPageBytes);
    }
    mm::destroy(heap, memory);
}

void GuestMemory::attach(NestedMap& empty_map) {
    HV_ASSERT(map_ == nullptr && empty_map.counts().table_frames == 1);
    map_ = &empty_map;
    last_ = {};
    tables_.fill(tables_needed()); // for what the map took to be made; kMapFrames foresaw it
}

u32 GuestMemory::block_index(Gpa at) const {
    for (Area const& area : areas_) {
        if (at.raw - area.first < area.bytes) {
            return area.first_block + static_cast<u32>((at.raw - area.first) / kLargePageBytes);
        }
    }
    return kNoBlock;
}

Gpa GuestMemory::block_address(u32 index) const {
    unsigned i = 2;
    while (index < areas_[i].first_block) {
        --i;
    }
    return {areas_[i].first + u64{index - areas_[i].first_block} * kLargePageBytes};
}

PageState GuestMemory::state(Gpa at) const {
    u32 const index = block_index(at);
    return index == kNoBlock ? PageState::NotAdded : states_[index].get(at.pfn() % kPagesPerLargePage);
}

/// touch(), but Guarded whatever the access is: whether the guard denies it is asked where that costs nobody
/// else.
Touch GuestMemory::touch(Gpa gpa) {
    u32 const index = block_index(gpa);
    if (index == kNoBlock) {
        return Touch::Hole;
    }
    PageState const page = states_[index].get(gpa.pfn() % kPagesPerLargePage);
    if (page != PageState::Backed) {
        return why_not_backed(gpa, page);
    }
    GuestBlock& b = blocks_[index];
    if (b.run != GuestBlock::kNoRun) {
        map_run(gpa, b);
        return Touch::Mapped;
    }
    return b.waiting() != 0 ? map_single(gpa, b) : already_mapped(gpa, b);
}

/// Without a guard, the processor had an older translation in mind.
[[gnu::noinline, gnu::cold]] Touch GuestMemory::already_mapped(Gpa gpa, GuestBlock const& b) const {
    return b.guards != 0 && is_guarded(gpa) ? Touch::Guarded : Touch::Mapped;
}

Touch GuestMemory::why_not_backed(Gpa gpa, PageState page) {
    switch (page) {
    case PageState::Ballooned: ++counters_.ballooned_touches; return Touch::Ballooned;
    case PageState::SmartPaged: return Touch::SmartPaged;
    default: return GuestLayout::in_hole(gpa) ? Touch::Hole : Touch::NotAdded;
    }
}

void GuestMemory::map_run(Gpa gpa, GuestBlock& b) {
    Hpa const run = run_address(b);
    zero_words(frames_.map().pointer(run), kLargePageBytes);
    auto const mapped = map_->map(gpa.large_page(), run, kLargePageBytes, Access::RWX);
    HV_ASSERT(mapped.ok()); // the block is unmapped, and the pool holds its tables
    update(b, [](GuestBlock& block) {
        block.run = GuestBlock::kNoRun;
        block.large = true;
    });
    ++counters_.faults;
    counters_.zeroed_pages += kPagesPerLargePage;
    map_->try_join(gpa); // to 1 GiB, when this was the last of 512 in a row
}

Touch GuestMemory::map_single(Gpa gpa, GuestBlock& b) {
    Hpa const frame = stash_.pop();
    zero_words(frames_.map().pointer(frame), kPageBytes);
    // Faults on a page that is mapped are too rare to look for one first.
    if (auto const mapped = map_->map(gpa.page(), frame, kPageBytes, Access::RWX); !mapped.ok()) {
        HV_ASSERT(mapped.error() == NestedError::AlreadyMapped);
        stash_.push(frame);
        return already_mapped(gpa, b);
    }
    if (b.mapped == 0) {
        update(b, [](GuestBlock& block) { block.mapped = 1; });
    } else {
        ++b.mapped;
        ++small_pages_;
    }
    ++counters_.faults;
    ++counters_.zeroed_pages;
    if (b.mapped == kPagesPerLargePage && !small_only_ && map_->try_join(gpa)) {
        update(b, [](GuestBlock& block) {
            block.mapped = 0;
            block.large = true;
        });
    }
    return Touch::Mapped;
}

/// The host memory behind @p gpa, up to the end of its leaf.
/// The last leaf is remembered while no translation is lost: page walks and instruction fetches ask for it
/// again and again.
Result<std::span<u8>, GuestMemoryError> GuestMemory::window(Gpa gpa) {
    if (u64 const offset = gpa - last_.gpa; offset < last_.bytes && map_->generation() == last_.generation) {
        return std::span{last_.host + offset, last_.bytes - offset};
    }
    auto leaf = map_->lookup(gpa);
    if (!leaf.ok()) {
        switch (touch(gpa)) {
        case Touch::Mapped: break;
        case Touch::Ballooned: return Err{GuestMemoryError::Ballooned};
        case Touch::SmartPaged: return Err{GuestMemoryError::OutOfFrames};
        default: return Err{GuestMemoryError::NotRam};
        }
        return window(gpa);
    }
    NestedLeaf const& found = leaf.value();
    last_ = {found.gpa, found.bytes, frames_.map().pointer<u8>(found.hpa), map_->generation()};
    u64 const offset = gpa - found.gpa;
    return std::span{last_.host + offset, last_.bytes - offset};
}

Result<void, GuestMemoryError> GuestMemory::read(Gpa from, std::span<u8> to) {
    while (!to.empty()) {
        std::span<u8> const memory = HV_TRY(window(from));
        usize const bytes = std::min(memory.size(), to.size());
        __builtin_memcpy(to.data(), memory.data(), bytes);
        to = to.subspan(bytes);
        from = from + bytes;
    }
    return {};
}

Result<void, GuestMemoryError> GuestMemory::write(Gpa to, std::span<u8 const> from) {
    while (!from.empty()) {
        std::span<u8> const memory = HV_TRY(window(to));
        usize const bytes = std::min(memory.size(), from.size());
        __builtin_memcpy(memory.data(), from.data(), bytes);
        from = from.subspan(bytes);
        to = to + bytes;
    }
    return {};
}

Result<u8*, GuestMemoryError> GuestMemory::page(Gpa at) {
    std::span<u8> const memory = HV_TRY(window(at.page()));
    return memory.data();
}
} // namespace hv::mm
