// SPDX-License-Identifier: Apache-2.0
// An address belongs to one space; spaces do not mix without a named function.
#pragma once
#include "hv/base/types.hpp"
#include <compare>

namespace hv {
/// A byte address in one address space. Trivial, passed by value.
template <class Space>
struct Addr {
    u64 raw = 0;
    constexpr auto operator<=>(Addr const&) const = default;
    constexpr Addr operator+(u64 bytes) const { return {raw + bytes}; }
    constexpr Addr operator-(u64 bytes) const { return {raw - bytes}; }
    constexpr u64 operator-(Addr other) const { return raw - other.raw; }
    constexpr bool aligned(u64 bytes) const { return (raw & (bytes - 1)) == 0; }
    constexpr Addr page() const { return {raw & ~(kPageBytes - 1)}; }
    constexpr Addr large_page() const { return {raw & ~(kLargePageBytes - 1)}; }
    constexpr u64 page_offset() const { return raw & (kPageBytes - 1); }
    constexpr u64 pfn() const { return raw >> kPageShift; }
    static constexpr Addr from_pfn(u64 pfn) { return {pfn << kPageShift}; }
};
using Gpa = Addr<struct GuestPhysical>; ///< guest-physical (SDM) / guest physical (APM) / GPA (TLFS)
using Gva = Addr<struct GuestVirtual>;  ///< guest-linear
using Hpa = Addr<struct HostPhysical>;  ///< host-physical; only hv/mm's direct map turns one into a pointer
} // namespace hv
