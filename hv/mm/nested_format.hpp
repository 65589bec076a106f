// SPDX-License-Identifier: Apache-2.0
// What the walker must know about an entry, for the two second-level formats. Levels count from 0 (4 KiB) to
// 3 (root). Read access is implied by any other: neither vendor lets every CPU do without.
//
// A guarded leaf carries a mark in a bit that the processor ignores. Without rights its present bits are
// clear and it is nothing but ignored bits to the processor, while the mark keeps it a translation for us.
#pragma once
#include "hv/arch/ept.hpp"
#include "hv/arch/npt.hpp"
#include "hv/base/addr.hpp"
#include "hv/core/access.hpp"
#include <concepts>

namespace hv::mm {
template <class F>
concept NestedFormat = requires(u64 entry, Hpa at, Access access, unsigned level) {
    { F::leaf(at, level, access) } -> std::same_as<u64>; ///< access is not None
    { F::table(at) } -> std::same_as<u64>;               ///< an entry that points to a table
    { F::present(entry) } -> std::same_as<bool>;         ///< a table or a leaf, guarded ones included
    { F::is_leaf(entry, level) } -> std::same_as<bool>;  ///< of a present entry
    { F::address(entry) } -> std::same_as<Hpa>;
    { F::access(entry) } -> std::same_as<Access>;     ///< of a leaf: what the processor allows
    { F::guard(entry, access) } -> std::same_as<u64>; ///< a leaf with the mark and this access, or None
    { F::unguard(entry) } -> std::same_as<u64>;       ///< without the mark, and RWX
    { F::guarded(entry) } -> std::same_as<bool>;
    { F::accessed(entry) } -> std::same_as<bool>;
    { F::dirty(entry) } -> std::same_as<bool>;
    { F::kFlagsMask } -> std::convertible_to<u64>; ///< what the processor writes: accessed, dirty
    { F::kCountMask } -> std::convertible_to<u64>; ///< 10 bits of a table entry that it ignores
};

/// Intel. Leaves are write-back and their memory type yields to the guest's PAT. Source: SDM vol 3C, "EPT
/// Translation Mechanism" (formats), "EPT and Memory Typing".
struct EptFormat {
    static constexpr u64 kFlagsMask = ept::Accessed::mask | ept::Dirty::mask;
    static constexpr u64 kCountMask = ept::Ignored::mask;
    static constexpr u64 kAccessMask = ept::Read::mask | ept::Write::mask | ept::Execute::mask;

    static constexpr u64 bits(Access a) {
        return ept::Read::of(1) | ept::Write::of(has(a, Access::W)) | ept::Execute::of(has(a, Access::X));
    }
    static constexpr u64 leaf(Hpa at, unsigned level, Access a) {
        return at.raw | bits(a) | ept::MemoryType::of(ept::kWriteBack) | ept::Large::of(level != 0);
    }
    static constexpr u64 table(Hpa at) { return at.raw | bits(Access::RWX); }
    /// Present for the processor if one of bits 2:0 is set; else it ignores 62:3 ("EPT Translation
    /// Mechanism").
    static constexpr bool present(u64 e) { return (e & (kAccessMask | ept::Software::mask)) != 0; }
    static constexpr bool is_leaf(u64 e, unsigned level) { return level == 0 || ept::Large::get(e) != 0; }
    static constexpr Hpa address(u64 e) { return {e & ept::Address::mask}; }
    static constexpr Access access(u64 e) { return static_cast<Access>(e & kAccessMask); }
    static constexpr u64 guard(u64 e, Access a) {
        return (e & ~kAccessMask) | ept::Software::of(1) | (a == Access::None ? 0 : bits(a));
    }
    static constexpr u64 unguard(u64 e) { return (e & ~ept::Software::mask) | bits(Access::RWX); }
    static constexpr bool guarded(u64 e) { return ept::Software::get(e) != 0; }
    static constexpr bool accessed(u64 e) { return ept::Accessed::get(e) != 0; }
    static constexpr bool dirty(u64 e) { return ept::Dirty::get(e) != 0; }
};

/// AMD. PAT bits 0 select write-back in the host's PAT; the user bit is needed at every level. Source: APM
/// vol 2, "Nested Paging".
struct NptFormat {
    static constexpr u64 kFlagsMask = npt::Accessed::mask | npt::Dirty::mask;
    static constexpr u64 kCountMask = npt::Available::mask;
    static constexpr u64 kAccessMask = npt::Present::mask | npt::Write::mask | npt::NoExecute::mask;

    static constexpr u64 bits(Access a) {
        return npt::Write::of(has(a, Access::W)) | npt::NoExecute::of(!has(a, Access::X));
    }
    static constexpr u64 leaf(Hpa at, unsigned level, Access a) {
        return at.raw | npt::Present::of(1) | npt::User::of(1) | bits(a) | npt::Large::of(level != 0);
    }
    static constexpr u64 table(Hpa at) {
        return at.raw | npt::Present::of(1) | npt::User::of(1) | bits(Access::RWX);
    }
    /// Present for the processor if bit 0 is set; else all other bits are software's ("4-Kbyte Page
    /// Translation").
    static constexpr bool present(u64 e) { return (e & (npt::Present::mask | npt::Software::mask)) != 0; }
    static constexpr bool is_leaf(u64 e, unsigned level) { return level == 0 || npt::Large::get(e) != 0; }
    static constexpr Hpa address(u64 e) { return {e & npt::Address::mask}; }
    static constexpr Access access(u64 e) {
        if (npt::Present::get(e) == 0) {
            return Access::None;
        }
        Access const w = npt::Write::get(e) != 0 ? Access::RW : Access::R;
        return npt::NoExecute::get(e) != 0 ? w : w | Access::X;
    }
    static constexpr u64 guard(u64 e, Access a) {
        return (e & ~kAccessMask) | npt::Software::of(1) |
               (a == Access::None ? 0 : npt::Present::of(1) | bits(a));
    }
    static constexpr u64 unguard(u64 e) {
        return (e & ~(npt::Software::mask | kAccessMask)) | npt::Present::of(1) | bits(Access::RWX);
    }
    static constexpr bool guarded(u64 e) { return npt::Software::get(e) != 0; }
    static constexpr bool accessed(u64 e) { return npt::Accessed::get(e) != 0; }
    static constexpr bool dirty(u64 e) { return npt::Dirty::get(e) != 0; }
};

static_assert(NestedFormat<EptFormat> && NestedFormat<NptFormat>);
static_assert(EptFormat::leaf(Hpa{0x5000}, 0, Access::RWX) == 0x5037);
static_assert(EptFormat::leaf(Hpa{0x20'0000}, 1, Access::R) == 0x20'00b1);
static_assert(NptFormat::leaf(Hpa{0x5000}, 0, Access::RWX) == 0x5007);
static_assert(NptFormat::leaf(Hpa{0x20'0000}, 1, Access::RW) == 0x8000'0000'0020'0087);
static_assert(EptFormat::guard(0x5037, Access::R) == 0x5831 &&
              EptFormat::guard(0x5037, Access::None) == 0x5830);
static_assert(NptFormat::guard(0x5007, Access::RX) == 0x5805 &&
              NptFormat::guard(0x5007, Access::None) == 0x5804);
static_assert(EptFormat::unguard(0x5830) == 0x5037 && NptFormat::unguard(0x5804) == 0x5007);
} // namespace hv::mm
