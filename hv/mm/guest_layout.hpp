// SPDX-License-Identifier: Apache-2.0
// Where a partition's memory lies in its guest-physical address space.
//
//   0        640K  768K  1M                low_end   4 GiB         high_end    hot_base            hot_end
//   ├── RAM ──┤ hole ├ RAM, e820 reserved ┤── RAM ──┤ devices ├── RAM ──┤ (gap) ├── added while running ─┤
#pragma once
#include "hv/base/addr.hpp"
#include <algorithm>

namespace hv::mm {
/// [first, last): guest-physical, page aligned.
struct GuestRange {
    Gpa first, last;
    constexpr u64 bytes() const { return last - first; }
    constexpr bool contains(Gpa at) const { return at >= first && at < last; }
};

struct GuestLayout {
    static constexpr u64 kLowLimit = 3 * GiB; ///< above it, up to 4 GiB, lie the guest's devices
    static constexpr Gpa kHole{0xa'0000};     ///< legacy video memory: never RAM
    static constexpr Gpa kHoleEnd{0xc'0000};
    static constexpr Gpa kReserved = kHoleEnd; ///< RAM that e820 reserves: the guest's ACPI tables and RSDP
    static constexpr Gpa kReservedEnd{0x10'0000};
    static constexpr u64 kHotAlignBytes = 128 * MiB; ///< Linux adds memory in sections of this size
    /// From kManyBytes of addresses on it adds blocks of up to kHotAlignBytesOfMany, by how the RAM's end is
    /// aligned, and the driver of 6.12 takes none that begins elsewhere.
    static constexpr u64 kManyBytes = 64 * GiB, kHotAlignBytesOfMany = 2 * GiB;

    GuestRange low, high, hot;

    /// @param startup_bytes  RAM at start, the hole included; a multiple of 4 KiB, at least 1 MiB
    /// @param maximum_bytes  ≥ startup; the difference is the hot-add window
    static constexpr GuestLayout of(u64 startup_bytes, u64 maximum_bytes) {
        u64 const low_bytes = std::min(startup_bytes, kLowLimit);
        u64 const high_end = 4 * GiB + (startup_bytes - low_bytes);
        u64 const hot_base =
            align_up(high_end, high_end < kManyBytes ? kHotAlignBytes : kHotAlignBytesOfMany);
        return {{Gpa{0}, Gpa{low_bytes}},
                {Gpa{4 * GiB}, Gpa{high_end}},
                {Gpa{hot_base}, Gpa{hot_base + align_down(maximum_bytes - startup_bytes, kPageBytes)}}};
    }
    static constexpr bool in_hole(Gpa at) { return at >= kHole && at < kHoleEnd; }
    /// Calls f(first, pages) for each stretch of RAM at start, ascending.
    template <class F>
    constexpr void each_startup_range(F&& f) const {
        f(Gpa{0}, std::min(low.last.raw, kHole.raw) / kPageBytes);
        if (low.last > kHoleEnd) {
            f(kHoleEnd, (low.last - kHoleEnd) / kPageBytes);
        }
        if (high.bytes() != 0) {
            f(high.first, high.bytes() / kPageBytes);
        }
    }
    /// RAM at start, without the hole.
    constexpr u64 startup_pages() const {
        u64 sum = 0;
        each_startup_range([&](Gpa, u64 pages) { sum += pages; });
        return sum;
    }
};
static_assert(GuestLayout::of(5 * GiB, 8 * GiB).high.last.raw == 6 * GiB);
static_assert(GuestLayout::of(512 * MiB, 2 * GiB).hot.first.raw == 4 * GiB);
static_assert(GuestLayout::of(9 * GiB + MiB, 20 * GiB).hot.first.raw == 10 * GiB + 128 * MiB);
static_assert(GuestLayout::of(64 * GiB + MiB, 80 * GiB).hot.first.raw == 66 * GiB);
static_assert(GuestLayout::of(63 * GiB, 80 * GiB).hot.first.raw == 64 * GiB);
static_assert(GuestLayout::of(512 * MiB, 2 * GiB).startup_pages() == 512 * 256 - 32);
} // namespace hv::mm
