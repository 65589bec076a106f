// SPDX-License-Identifier: Apache-2.0
// Who backs each 4 KiB page of a 2 MiB guest block, two bits a page, and what is known of the block as a
// whole.
#pragma once
#include "hv/base/types.hpp"

namespace hv::mm {
enum class PageState : u8 {
    NotAdded = 0, ///< part of the partition's maximum, not given to the guest (or no RAM at all)
    Backed,       ///< the partition owns a frame for it, mapped or waiting for the first touch
    Ballooned,    ///< the guest gave it back
    SmartPaged,   ///< its contents are in the paging file
};

/// The states of 512 pages.
struct BlockStates {
    u64 word[16] = {};

    PageState get(unsigned page) const {
        return static_cast<PageState>((word[page / 32] >> (page % 32 * 2)) & 3);
    }
    void fill(PageState state) {
        for (u64& w : word) {
            w = pattern(state);
        }
    }
    void set(unsigned first, unsigned count, PageState state) {
        each_word(word, first, count, [&](u64& w, u64 mask) { w = (w & ~mask) | (pattern(state) & mask); });
    }
    /// Whether all of @p count pages are in @p state.
    bool all(unsigned first, unsigned count, PageState state) const {
        bool same = true;
        each_word(word, first, count,
                  [&](u64 w, u64 mask) { same = same && ((w ^ pattern(state)) & mask) == 0; });
        return same;
    }

  private:
    static u64 pattern(PageState state) { return static_cast<u64>(state) * 0x5555'5555'5555'5555; }
    template <class Words, class F>
    static void each_word(Words& words, unsigned first, unsigned count, F&& f) {
        while (count != 0) {
            unsigned const shift = first % 32, n = count < 32 - shift ? count : 32 - shift;
            u64 const ones = n == 32 ? ~0ull : (1ull << (2 * n)) - 1;
            f(words[first / 32], ones << (2 * shift));
            first += n;
            count -= n;
        }
    }
};
static_assert(sizeof(BlockStates) == 128);

/// Counts for one 2 MiB block of guest-physical memory.
struct GuestBlock {
    static constexpr u32 kNoRun = ~0u;
    u32 run = kNoRun;   ///< host address / 2 MiB of the whole frame run waiting for this block's first touch
    u16 backed = 0;     ///< pages in state Backed
    u16 ballooned = 0;  ///< pages in state Ballooned
    u16 paged = 0;      ///< pages in state SmartPaged
    u16 mapped = 0;     ///< pages mapped by 4 KiB leaves; then a table for the block exists
    bool large = false; ///< mapped by a leaf of 2 MiB or 1 GiB
    u16 guards = 0;     ///< of the mapped pages: those with a guard

    bool whole() const { return backed == kPagesPerLargePage; }
    /// Backed, not mapped, and no run: these pages will take single frames.
    u32 waiting() const { return large || run != kNoRun ? 0 : u32{backed} - mapped; }
    /// Whether a touch may have to make a table of 4 KiB leaves.
    bool wants_table() const { return mapped == 0 && waiting() != 0; }
};
static_assert(sizeof(GuestBlock) == 16);
} // namespace hv::mm
