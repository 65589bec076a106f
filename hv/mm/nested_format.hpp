// SPDX-License-Identifier: Apache-2.0
// What the walker must know about an entry, for the two second-level formats. They agree about most of it;
// the rest is data, so that one walker's code serves both. Levels count from 0 (4 KiB) to 3 (root). Read
// access is implied by any other: neither vendor lets every CPU do without.
//
// A guarded leaf carries a mark in a bit that the processor ignores. Without rights its present bits are
// clear and it is nothing but ignored bits to the processor, while the mark keeps it a translation for us.
#pragma once
#include "hv/arch/ept.hpp"
#include "hv/arch/npt.hpp"
#include "hv/base/addr.hpp"
#include "hv/core/access.hpp"

namespace hv::mm {
struct NestedFormat {
    u64 readable; ///< an entry's bits for "may be read, and nothing else"
    u64 execute;  ///< the bit that tells execute access; inverted where `readable` has it set
    u64 leaf_only;
    u64 accessed_bit, dirty_bit;

    static constexpr u64 kRead = npt::Present::mask;
    static constexpr u64 kWrite = npt::Write::mask;
    static constexpr u64 kMark = npt::Software::mask;
    static constexpr u64 kCountMask = npt::Available::mask; ///< 10 bits of a table entry that the CPU ignores

    /// A table or a leaf, guarded ones included. For the processor: if one of bits 2:0 is set (EPT: else it
    /// ignores 62:3), if bit 0 is set (NPT: else all others are software's). An entry that is neither is 0.
    static constexpr bool present(u64 e) { return (e & (7 | kMark)) != 0; }
    /// Of a present entry.
    static constexpr bool is_leaf(u64 e, unsigned level) { return level == 0 || npt::Large::get(e) != 0; }
    static constexpr Hpa address(u64 e) { return {e & npt::Address::mask}; }
    static constexpr bool guarded(u64 e) { return (e & kMark) != 0; }

    /// @p a is not None.
    constexpr u64 rights(Access a) const {
        return readable ^ (has(a, Access::X) ? execute : 0) ^ (has(a, Access::W) ? kWrite : 0);
    }
    constexpr u64 rights_mask() const { return kRead | kWrite | execute; }
    /// What the processor writes: accessed, dirty.
    constexpr u64 flags_mask() const { return accessed_bit | dirty_bit; }
    /// A leaf; @p a is not None.
    constexpr u64 leaf(Hpa at, unsigned level, Access a) const {
        return at.raw | rights(a) | leaf_only | npt::Large::of(level != 0);
    }
    /// An entry that points to a table.
    constexpr u64 table(Hpa at) const { return at.raw | rights(Access::RWX); }
    /// Of a leaf: what the processor allows.
    constexpr Access access(u64 e) const {
        if ((e & kRead) == 0) {
            return Access::None;
        }
        Access const w = (e & kWrite) != 0 ? Access::RW : Access::R;
        return ((e ^ readable) & execute) != 0 ? w | Access::X : w;
    }
    /// A leaf with the mark and this access, or None.
    constexpr u64 guard(u64 e, Access a) const {
        return (e & ~rights_mask()) | kMark | (a == Access::None ? 0 : rights(a));
    }
    /// Without the mark, and RWX.
    constexpr u64 unguard(u64 e) const { return (e & ~(kMark | rights_mask())) | rights(Access::RWX); }
    constexpr bool accessed(u64 e) const { return (e & accessed_bit) != 0; }
    constexpr bool dirty(u64 e) const { return (e & dirty_bit) != 0; }
};
// NOLINTBEGIN(misc-redundant-expression): that the two formats agree is what is asserted
static_assert(ept::Read::mask == npt::Present::mask && ept::Write::mask == npt::Write::mask);
static_assert(ept::Large::mask == npt::Large::mask && ept::Software::mask == npt::Software::mask);
static_assert(ept::Address::mask == npt::Address::mask && ept::Ignored::mask == npt::Available::mask);
// NOLINTEND(misc-redundant-expression)

/// Intel. Leaves are write-back and their memory type yields to the guest's PAT. Source: SDM vol 3C, "EPT
/// Translation Mechanism" (formats), "EPT and Memory Typing".
inline constexpr NestedFormat kEptFormat{.readable = ept::Read::of(1),
                                         .execute = ept::Execute::mask,
                                         .leaf_only = ept::MemoryType::of(ept::kWriteBack),
                                         .accessed_bit = ept::Accessed::mask,
                                         .dirty_bit = ept::Dirty::mask};

/// AMD. PAT bits 0 select write-back in the host's PAT; the user bit is needed at every level. Source: APM
/// vol 2, "Nested Paging".
inline constexpr NestedFormat kNptFormat{.readable =
                                             npt::Present::of(1) | npt::User::of(1) | npt::NoExecute::of(1),
                                         .execute = npt::NoExecute::mask,
                                         .leaf_only = 0,
                                         .accessed_bit = npt::Accessed::mask,
                                         .dirty_bit = npt::Dirty::mask};

static_assert(kEptFormat.leaf(Hpa{0x5000}, 0, Access::RWX) == 0x5037);
static_assert(kEptFormat.leaf(Hpa{0x20'0000}, 1, Access::R) == 0x20'00b1);
static_assert(kNptFormat.leaf(Hpa{0x5000}, 0, Access::RWX) == 0x5007);
static_assert(kNptFormat.leaf(Hpa{0x20'0000}, 1, Access::RW) == 0x8000'0000'0020'0087);
static_assert(kEptFormat.access(0x5035) == Access::RX && kNptFormat.access(0x5005) == Access::RX);
static_assert(kEptFormat.guard(0x5037, Access::R) == 0x5831 &&
              kEptFormat.guard(0x5037, Access::None) == 0x5830);
static_assert(kNptFormat.guard(0x5007, Access::RX) == 0x5805 &&
              kNptFormat.guard(0x5007, Access::None) == 0x5804);
static_assert(kEptFormat.unguard(0x5830) == 0x5037 && kNptFormat.unguard(0x5804) == 0x5007);
} // namespace hv::mm
