// SPDX-License-Identifier: Apache-2.0
// Guest memory as the Dynamic Memory service wants it: page numbers, and a cursor into the hot-add window.
#pragma once
#include "hv/dm/memory_effects.hpp"
#include "hv/mm/guest_memory.hpp"

namespace hv::partition {
class MemoryAdapter final : public dm::MemoryEffects {
  public:
    explicit MemoryAdapter(mm::GuestMemory& memory) : memory_{memory} {}
    /// The partition restarted: nothing is hot-added any more.
    void reset() { hot_added_pages_ = 0; }

    Result<void, dm::EffectError> balloon_out(dm::PageRange) override;
    Result<void, dm::EffectError> give_back(dm::PageRange) override;
    dm::PageRange next_ballooned(u64 from_pfn, u64 most) const override;
    Result<void, dm::EffectError> hot_add(u64 pages) override;
    void undo_hot_add(u64 pages) override;
    u64 hot_add_next_pfn() const override { return memory_.layout().hot.first.pfn() + hot_added_pages_; }
    u64 hot_add_left_pages() const override {
        return memory_.layout().hot.bytes() / kPageBytes - hot_added_pages_;
    }
    u64 ballooned_pages() const override { return memory_.ballooned_pages(); }
    u64 assigned_pages() const override { return memory_.backed_pages(); }
    u64 hot_added_pages() const { return hot_added_pages_; }

  private:
    mm::GuestMemory& memory_;
    u64 hot_added_pages_ = 0; ///< of the window, from its start; ballooned ones among them count
};
} // namespace hv::partition
