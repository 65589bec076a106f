// SPDX-License-Identifier: Apache-2.0
// A partition's memory as a list of page states, with a limited number of host frames. It refuses what is not
// the guest's to give and stops the test when the service gives what it may not.
#pragma once
#include "hv/dm/memory_effects.hpp"
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

namespace hv::dm::test {
class MemoryModel final : public MemoryEffects {
  public:
    enum class Page : u8 { NotRam, Backed, Ballooned, NotAdded };
    static constexpr u64 kHole = 0xa0, kHoleEnd = 0xc0; ///< page numbers

    /// Startup RAM from 0 with the legacy hole, a gap, then the hot-add window.
    MemoryModel(u64 startup_pages, u64 hot_base_pfn, u64 hot_pages, u64 free_frames)
        : pages_(hot_base_pfn + hot_pages, Page::NotRam),
          hot_base_{hot_base_pfn},
          hot_pages_{hot_pages},
          free_{free_frames} {
        std::fill_n(pages_.begin(), startup_pages, Page::Backed);
        std::fill(pages_.begin() + kHole, pages_.begin() + kHoleEnd, Page::NotRam);
        std::fill_n(pages_.begin() + static_cast<long>(hot_base_pfn), hot_pages, Page::NotAdded);
        assigned_ = count(Page::Backed);
        ram_ = assigned_ + hot_pages;
        frames_ = assigned_ + free_;
    }

    Result<void, EffectError> balloon_out(PageRange range) override {
        if (!all(range, Page::Backed)) {
            return Err{EffectError::NotYours};
        }
        set(range, Page::Ballooned);
        free_ += range.pages;
        return {};
    }
    Result<void, EffectError> give_back(PageRange range) override {
        REQUIRE(all(range, Page::Ballooned)); // the service asks for what next_ballooned() told
        if (range.pages > free_) {
            return Err{EffectError::NoFrames};
        }
        set(range, Page::Backed);
        free_ -= range.pages;
        return {};
    }
    PageRange next_ballooned(u64 from_pfn, u64 most) const override {
        u64 first = from_pfn;
        while (first < pages_.size() && pages_[first] != Page::Ballooned) {
            ++first;
        }
        u64 end = first;
        while (end < pages_.size() && end - first < most && pages_[end] == Page::Ballooned) {
            ++end;
        }
        return {first, end - first};
    }
    Result<void, EffectError> hot_add(u64 pages) override {
        REQUIRE(pages <= hot_add_left_pages());
        if (pages > free_) {
            return Err{EffectError::NoFrames};
        }
        set({hot_add_next_pfn(), pages}, Page::Backed);
        hot_added_ += pages;
        free_ -= pages;
        return {};
    }
    void undo_hot_add(u64 pages) override {
        REQUIRE(pages <= hot_added_);
        hot_added_ -= pages;
        PageRange const range{hot_add_next_pfn(), pages};
        REQUIRE(all(range, Page::Backed));
        set(range, Page::NotAdded);
        free_ += pages;
    }
    u64 hot_add_next_pfn() const override { return hot_base_ + hot_added_; }
    u64 hot_add_left_pages() const override { return hot_pages_ - hot_added_; }
    u64 ballooned_pages() const override { return ballooned_; }
    u64 assigned_pages() const override { return assigned_; }

    Page at(u64 pfn) const { return pages_[pfn]; }
    u64 size() const { return pages_.size(); }
    u64 free() const { return free_; }
    u64 count(Page state) const { return static_cast<u64>(std::count(pages_.begin(), pages_.end(), state)); }
    void set_free(u64 frames) {
        frames_ += frames - free_;
        free_ = frames;
    }
    /// Every page of RAM is exactly one of backed, ballooned, not yet added, and every frame is somewhere.
    void check() const {
        REQUIRE(assigned_ == count(Page::Backed));
        REQUIRE(ballooned_ == count(Page::Ballooned));
        REQUIRE(assigned_ + ballooned_ + count(Page::NotAdded) == ram_);
        REQUIRE(assigned_ + free_ == frames_);
    }

  private:
    bool all(PageRange range, Page state) const {
        return range.pages != 0 && range.first_pfn < pages_.size() &&
               range.pages <= pages_.size() - range.first_pfn &&
               std::all_of(pages_.begin() + static_cast<long>(range.first_pfn),
                           pages_.begin() + static_cast<long>(range.first_pfn + range.pages),
                           [state](Page p) { return p == state; });
    }
    void set(PageRange range, Page state) {
        for (u64 pfn = range.first_pfn; pfn < range.first_pfn + range.pages; ++pfn) {
            assigned_ -= pages_[pfn] == Page::Backed ? 1 : 0;
            ballooned_ -= pages_[pfn] == Page::Ballooned ? 1 : 0;
            pages_[pfn] = state;
            assigned_ += state == Page::Backed ? 1 : 0;
            ballooned_ += state == Page::Ballooned ? 1 : 0;
        }
    }

    std::vector<Page> pages_;
    u64 hot_base_, hot_pages_, free_;
    u64 hot_added_ = 0, ballooned_ = 0, assigned_ = 0, ram_ = 0, frames_ = 0;
};
} // namespace hv::dm::test
