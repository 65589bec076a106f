// SPDX-License-Identifier: Apache-2.0
// Nested page-table entries: the ordinary long-mode format, walked as a user access. Layout only.
// Source: AMD APM vol 2, "Nested Paging" and "4-Kbyte Page Translation" (page-translation-table entry
// fields).
#pragma once
#include "hv/base/bits.hpp"

namespace hv::npt {
using Present = Bits<0>;
using Write = Bits<1>;
using User = Bits<2>; // must be set at every level: "nested page table walks are user accesses"
using WriteThrough = Bits<3>;
using CacheDisable = Bits<4>;
using Accessed = Bits<5>;
using Dirty = Bits<6>;     // leaf only
using Large = Bits<7>;     // levels 1 and 2: maps a page; at level 0 the bit is PAT
using Software = Bits<11>; // of 11:9, available to software; where Present is clear 63:1 all are
using Address = Bits<51, 12>;
using Available = Bits<61, 52>; // 58:52 available to software, 62:59 too unless CR4.PKE in the host
using NoExecute = Bits<63>;

static_assert((Present::of(1) | Write::of(1) | User::of(1)) == 7);
} // namespace hv::npt
