// SPDX-License-Identifier: Apache-2.0
// Segment registers between the neutral form (packed attributes, P = 0 for unusable) and a VMCS's access
// rights. Pure.
#pragma once
#include "hv/arch/vmcs.hpp"
#include "hv/arch/vmx.hpp"
#include "hv/core/registers.hpp"

namespace hv::vmx {
static_assert(static_cast<u8>(Seg::Es) == 0 && static_cast<u8>(Seg::Fs) == 4 &&
              static_cast<u8>(Seg::Tr) == 7);

/// The part of a Segment that a VMCS holds in its own way.
struct VmxSegment {
    u32 access_rights;
    u32 limit;
};

/// Packed bits 11:8 (AVL, L, D/B, G) are access-rights bits 15:12; the low byte is the same.
constexpr u32 access_rights_of(u16 attributes) {
    using namespace arch::vmx::access_rights;
    return static_cast<u32>((attributes & 0xff) | High::of(static_cast<u64>(attributes) >> 8));
}
constexpr u16 attributes_of(u32 access_rights) {
    using namespace arch::vmx;
    u64 const packed = (access_rights & 0xff) | (access_rights::High::get(access_rights) << 8);
    // The DPL of an unusable SS is still the CPL, so only P tells.
    bool const unusable = access_rights::Unusable::get(access_rights) != 0;
    return static_cast<u16>(unusable ? access_rights::Present::set(packed, 0) : packed);
}

/// What VM entry demands of a segment register whatever the guest's owner wrote: accessed code and data, a
/// busy and usable TR, a granularity that fits the limit.
/// Source: Intel SDM vol 3C, "Checks on Guest Segment Registers".
constexpr VmxSegment to_vmcs(Seg which, Segment const& segment) {
    using namespace arch::vmx::access_rights;
    u64 rights = access_rights_of(segment.attributes);
    u32 limit = segment.limit;
    if (which == Seg::Tr) {
        bool const task_16bit = Present::get(rights) != 0 && (Type::get(rights) & ~2ull) == 1;
        constexpr u64 kBusy16 = 3, kBusy = 11;
        rights = System::set(Type::set(rights, task_16bit ? kBusy16 : kBusy), 0) | Present::mask;
    } else if (Present::get(rights) == 0) {
        return {static_cast<u32>(rights | Unusable::mask), limit};
    } else if (which == Seg::Ldtr) {
        constexpr u64 kLdt = 2;
        rights = System::set(Type::set(rights, kLdt), 0);
    } else {
        rights |= System::mask | 1; // accessed
    }
    constexpr u32 kMaxByteLimit = 0xf'ffff;
    if (limit > kMaxByteLimit) {
        limit |= 0xfff;
        rights |= Granularity::mask;
    } else if ((limit & 0xfff) != 0xfff) {
        rights = Granularity::set(rights, 0);
    }
    return {static_cast<u32>(rights), limit};
}
static_assert(to_vmcs(Seg::Cs, {0x10, 0xa9b, 0xffff'ffff, 0}).access_rights == 0xa09b);
static_assert(attributes_of(0xa09b) == 0xa9b);
} // namespace hv::vmx
