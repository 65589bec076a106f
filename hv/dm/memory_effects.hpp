// SPDX-License-Identifier: Apache-2.0
// What the Dynamic Memory service does to a partition's memory: implemented over guest memory by
// hv/partition, by a model in tests.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/base/result.hpp"

namespace hv::dm {
struct PageRange {
    u64 first_pfn = 0;
    u64 pages = 0;
};

enum class EffectError : u8 {
    NotYours, ///< a page of the range is not backed guest RAM: outside, a device, ballooned already
    NoFrames, ///< the host has none to give; nothing changed
};

class MemoryEffects {
  public:
    virtual ~MemoryEffects() = default;
    /// The guest has given these pages up: unmap them and free their frames. All or nothing.
    virtual Result<void, EffectError> balloon_out(PageRange) = 0;
    /// Backs ballooned pages again, before the guest hears of it. All or nothing.
    virtual Result<void, EffectError> give_back(PageRange) = 0;
    /// The first run of ballooned pages at or after @p from_pfn, at most @p most pages long; pages = 0 when
    /// there is none.
    virtual PageRange next_ballooned(u64 from_pfn, u64 most) const = 0;
    /// Backs the next @p pages of the hot-add window, which starts at hot_add_next(). All or nothing.
    virtual Result<void, EffectError> hot_add(u64 pages) = 0;
    /// Takes back the last @p pages of what hot_add() backed: the guest refused them.
    virtual void undo_hot_add(u64 pages) = 0;
    virtual u64 hot_add_next_pfn() const = 0;
    virtual u64 hot_add_left_pages() const = 0; ///< what may still be added within maximum
    virtual u64 ballooned_pages() const = 0;
    virtual u64 assigned_pages() const = 0; ///< backed
};
} // namespace hv::dm
