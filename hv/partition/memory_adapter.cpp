// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/memory_adapter.hpp"

namespace hv::partition {
namespace {
/// A range as a guest names it: page numbers of 40 bits cannot overflow an address.
bool sane(dm::PageRange range) {
    return range.pages != 0 && range.first_pfn < (1ull << 40) && range.pages < (1ull << 40);
}
} // namespace

Result<void, dm::EffectError> MemoryAdapter::balloon_out(dm::PageRange range) {
    if (!sane(range) || !memory_.balloon_out(Gpa::from_pfn(range.first_pfn), range.pages)) {
        return Err{dm::EffectError::NotYours};
    }
    return {};
}

Result<void, dm::EffectError> MemoryAdapter::give_back(dm::PageRange range) {
    auto const done = memory_.give_back(Gpa::from_pfn(range.first_pfn), range.pages);
    if (done) {
        return {};
    }
    return Err{done.error() == mm::RangeError::OutOfFrames ? dm::EffectError::NoFrames
                                                           : dm::EffectError::NotYours};
}

dm::PageRange MemoryAdapter::next_ballooned(u64 from_pfn, u64 most) const {
    // Block by block: the counts say which blocks to look into. Runs do not cross blocks, so that a whole
    // block comes back as one.
    u64 const from = Gpa::from_pfn(from_pfn).raw;
    u32 const count = memory_.block_count();
    mm::GuestBlock const* const start = memory_.find_block(Gpa{from});
    for (u32 i = start == nullptr ? 0 : static_cast<u32>(start - &memory_.block(0)); i < count; ++i) {
        mm::GuestBlock const& block = memory_.block(i);
        if (block.ballooned == 0) {
            continue;
        }
        u64 const base = memory_.block_address(i).raw;
        if (base + kLargePageBytes <= from) {
            continue;
        }
        unsigned page = from > base ? static_cast<unsigned>((from - base) / kPageBytes) : 0;
        mm::BlockStates const& states = memory_.states(i);
        while (page < kPagesPerLargePage && states.get(page) != mm::PageState::Ballooned) {
            ++page;
        }
        if (page == kPagesPerLargePage) {
            continue;
        }
        unsigned end = page;
        if (page == 0 && block.ballooned == kPagesPerLargePage) {
            end = kPagesPerLargePage;
        } else {
            while (end < kPagesPerLargePage && states.get(end) == mm::PageState::Ballooned) {
                ++end;
            }
        }
        u64 const pages = end - page < most ? end - page : most;
        return {Gpa{base}.pfn() + page, pages};
    }
    return {};
}

Result<void, dm::EffectError> MemoryAdapter::hot_add(u64 pages) {
    HV_ASSERT(pages <= hot_add_left_pages());
    auto const done = memory_.hot_add(Gpa::from_pfn(hot_add_next_pfn()), pages);
    if (!done) {
        return Err{dm::EffectError::NoFrames};
    }
    hot_added_pages_ += pages;
    return {};
}

void MemoryAdapter::undo_hot_add(u64 pages) {
    HV_ASSERT(pages <= hot_added_pages_);
    hot_added_pages_ -= pages;
    memory_.withdraw(Gpa::from_pfn(hot_add_next_pfn()), pages);
}
} // namespace hv::partition
