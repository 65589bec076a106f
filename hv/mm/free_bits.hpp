// SPDX-License-Identifier: Apache-2.0
// The free frames of one 2 MiB block as 512 bits. Buddies need no links here: an aligned run of ones is one.
#pragma once
#include "hv/base/types.hpp"
#include <bit>

namespace hv::mm {
/// Orders 0 … 8 (1 … 256 frames); positions are frame numbers inside the block, aligned to the order.
struct FreeBits {
    static constexpr unsigned kWords = 8;
    static constexpr int kNone = -1;
    u64 word[kWords] = {};

    constexpr void fill(bool free) {
        for (u64& w : word) {
            w = free ? ~0ull : 0;
        }
    }
    constexpr bool test(unsigned at) const { return (word[at / 64] >> (at % 64)) & 1; }
    /// Whether all 2^order frames from @p at on are free.
    constexpr bool run_free(unsigned at, unsigned order) const {
        if (order < 6) {
            return (word[at / 64] & run_mask(at, order)) == run_mask(at, order);
        }
        for (unsigned i = at / 64; i < at / 64 + (1u << (order - 6)); ++i) {
            if (word[i] != ~0ull) {
                return false;
            }
        }
        return true;
    }
    constexpr void set_run(unsigned at, unsigned order, bool free) {
        if (order < 6) {
            u64 const mask = run_mask(at, order);
            word[at / 64] = free ? word[at / 64] | mask : word[at / 64] & ~mask;
            return;
        }
        for (unsigned i = at / 64; i < at / 64 + (1u << (order - 6)); ++i) {
            word[i] = free ? ~0ull : 0;
        }
    }
    /// Position of the first free aligned run of 2^order frames, or kNone.
    constexpr int find(unsigned order) const {
        if (order < 6) {
            for (unsigned i = 0; i < kWords; ++i) {
                if (u64 const runs = aligned_runs(word[i], order)) {
                    return static_cast<int>(i * 64) + std::countr_zero(runs);
                }
            }
            return kNone;
        }
        for (unsigned at = 0; at < 512; at += 1u << order) {
            if (run_free(at, order)) {
                return static_cast<int>(at);
            }
        }
        return kNone;
    }
    /// The largest order ≤ @p limit that find() would satisfy, or kNone.
    constexpr int largest_order(unsigned limit) const {
        for (int order = static_cast<int>(limit); order >= 0; --order) {
            if (find(static_cast<unsigned>(order)) != kNone) {
                return order;
            }
        }
        return kNone;
    }

  private:
    static constexpr u64 run_mask(unsigned at, unsigned order) {
        return ((1ull << (1u << order)) - 1) << (at % 64);
    }
    /// A bit at the start of each aligned run of 2^order ones.
    static constexpr u64 aligned_runs(u64 w, unsigned order) {
        constexpr u64 starts[6] = {~0ull,
                                   0x5555'5555'5555'5555,
                                   0x1111'1111'1111'1111,
                                   0x0101'0101'0101'0101,
                                   0x0001'0001'0001'0001,
                                   0x0000'0001'0000'0001};
        for (unsigned k = 0; k < order; ++k) {
            w &= w >> (1u << k);
        }
        return w & starts[order];
    }
};
static_assert(sizeof(FreeBits) == 64);
} // namespace hv::mm
