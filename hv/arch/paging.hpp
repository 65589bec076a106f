// SPDX-License-Identifier: Apache-2.0
// Long-mode page-table entries and linear addresses of the hypervisor itself. Layout only.
// Source: Intel SDM vol 3A, "4-Level Paging and 5-Level Paging" (formats of the paging-structure entries).
#pragma once
#include "hv/base/addr.hpp"
#include "hv/base/bits.hpp"

namespace hv {
using Hva = Addr<struct HostVirtual>; ///< host-linear: the hypervisor's own addresses

namespace paging {
using Present = Bits<0>;
using Write = Bits<1>;
using User = Bits<2>;
using WriteThrough = Bits<3>;
using CacheDisable = Bits<4>;
using Accessed = Bits<5>;
using Dirty = Bits<6>;
using Large = Bits<7>; // levels 1 and 2: maps a page; at level 0 the bit is PAT
using Global = Bits<8>;
using Address = Bits<51, 12>;
using NoExecute = Bits<63>; // needs EFER.NXE

inline constexpr unsigned kEntries = 512;
inline constexpr unsigned kTopLevel = 3; ///< levels count from 0 (maps 4 KiB) to 3 (root)

/// Bytes that one entry of @p level covers: 4 KiB, 2 MiB, 1 GiB, 512 GiB.
constexpr u64 entry_bytes(unsigned level) {
    return kPageBytes << (9 * level);
}
/// Index into the table of @p level on the walk to @p address.
constexpr unsigned entry_index(u64 address, unsigned level) {
    return (address >> (kPageShift + 9 * level)) & (kEntries - 1);
}
/// Whether bits 63:47 are copies of one another, as four-level paging demands.
constexpr bool canonical(u64 address) {
    return static_cast<u64>(static_cast<s64>(address << 16) >> 16) == address;
}
static_assert(entry_bytes(2) == kHugePageBytes && entry_index(0x40201000, 0) == 1);
static_assert(canonical(0xffff'8000'0000'0000) && !canonical(0x0000'8000'0000'0000));
} // namespace paging
} // namespace hv
