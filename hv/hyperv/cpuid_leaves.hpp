// SPDX-License-Identifier: Apache-2.0
// The CPUID leaves that make a guest believe in this interface, built once.
#pragma once
#include "hv/core/cpuid_policy.hpp"
#include "hv/hyperv/hyperv_abi.hpp"

namespace hv::hyperv {
/// The leaves 0x40000000 … 0x40000006 of one partition.
/// @param vp_count             virtual processors of the partition
/// @param guest_physical_bits  width of guest-physical addresses, 32 … 52
/// Source: TLFS, "Feature and Interface Discovery".
constexpr std::array<CpuidRegs, cpuid::kLeaves> build_cpuid_leaves(u32 vp_count, u32 guest_physical_bits) {
    namespace a = cpuid::feature_eax;
    namespace b = cpuid::feature_ebx;
    namespace d = cpuid::feature_edx;
    namespace hint = cpuid::hint_eax;
    // No long spin notification, whatever the number of retries.
    constexpr u32 kNeverNotifySpin = 0xffff'ffff;
    return {{
        {cpuid::kLastLeaf, 0x7263'694d, 0x666f'736f, 0x7648'2074}, // "Microsoft Hv"
        {cpuid::kInterface, 0, 0, 0},
        {.eax = 1, .ebx = 0x000a'0000}, // a version to print: 10.0, build 1
        {.eax = a::kTimeRefCount | a::kSynic | a::kTimers | a::kHypercall | a::kVpIndex | a::kReferenceTsc |
                a::kFrequencies | a::kInvariantTsc,
         .ebx = b::kPostMessages | b::kSignalEvents,
         .edx = d::kFrequencies | d::kCrash | d::kDirectTimers},
        // No APIC, IPI or flush enlightenments: the local APIC model is complete without them.
        {hint::kRelaxedTiming | hint::kNoAutoEoi, kNeverNotifySpin, guest_physical_bits, 0},
        {vp_count, vp_count, 0, 0},
        {},
    }};
}
static_assert(build_cpuid_leaves(1, 40)[3].eax == 0x8a6e);
static_assert(build_cpuid_leaves(1, 40)[3].edx == 0x8'0500);
static_assert(build_cpuid_leaves(1, 40)[4].eax == 0x220);
} // namespace hv::hyperv
