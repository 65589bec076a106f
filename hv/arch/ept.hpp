// SPDX-License-Identifier: Apache-2.0
// Extended page-table entries and the pointer to them. Layout only; hv/mm/nested_format.hpp gives it meaning.
// Source: Intel SDM vol 3C, "EPT Translation Mechanism" and "Extended-Page-Table Pointer (EPTP)".
#pragma once
#include "hv/base/bits.hpp"

namespace hv::ept {
// Format of an EPT entry, leaf or table, from bit 0 upwards.
using Read = Bits<0>;
using Write = Bits<1>;
using Execute = Bits<2>;
using MemoryType = Bits<5, 3>; // leaf only; reserved (0) in an entry that points to a table
using IgnorePat = Bits<6>;     // leaf only
using Large = Bits<7>;         // levels 1 and 2: maps a page; reserved elsewhere
using Accessed = Bits<8>;      // if EPTP enables the flags
using Dirty = Bits<9>;         // leaf only, likewise
using Software = Bits<11>;     // ignored in a leaf; and where bits 2:0 are clear 62:3 all are
using Address = Bits<51, 12>;
using Ignored = Bits<61, 52>; // in an entry that points to a table all of 63:52 is ignored

inline constexpr u64 kWriteBack = 6;

// EPTP.
using PointerMemoryType = Bits<2, 0>;
using PointerWalkLength = Bits<5, 3>; // levels minus one
using PointerEnableAccessedDirty = Bits<6>;
using PointerAddress = Bits<51, 12>;

/// The EPTP for a four-level table at @p root_address with write-back table accesses.
constexpr u64 pointer(u64 root_address, bool accessed_dirty) {
    return PointerMemoryType::of(kWriteBack) | PointerWalkLength::of(3) |
           PointerEnableAccessedDirty::of(accessed_dirty) | (root_address & PointerAddress::mask);
}
static_assert(MemoryType::of(kWriteBack) == 0x30);
static_assert(pointer(0x5000, true) == 0x505e);
} // namespace hv::ept
