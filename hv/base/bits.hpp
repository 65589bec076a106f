// SPDX-License-Identifier: Apache-2.0
// Bit fields in the manuals' high:low order.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
template <unsigned Hi, unsigned Lo = Hi>
struct Bits {
    static_assert(Lo <= Hi && Hi < 64);
    static constexpr u64 mask = (~0ull >> (63 - Hi)) & (~0ull << Lo);
    /// The field holding @p v (excess bits of v are cut), all other bits 0.
    static constexpr u64 of(u64 v) { return (v << Lo) & mask; }
    /// The field's value in @p word.
    static constexpr u64 get(u64 word) { return (word & mask) >> Lo; }
    /// @p word with the field replaced by @p v.
    static constexpr u64 set(u64 word, u64 v) { return (word & ~mask) | of(v); }
};
} // namespace hv
