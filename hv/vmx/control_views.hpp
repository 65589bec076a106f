// SPDX-License-Identifier: Apache-2.0
// CR0 and CR4: what the guest sees, what the hardware holds, and which bits the guest may change without an
// exit. Pure. Source: Intel SDM vol 3C, "Guest/Host Masks and Read Shadows for CR0 and CR4".
#pragma once
#include "hv/core/registers.hpp"
#include "hv/vmx/controls.hpp"

namespace hv::vmx {
/// Bits that are the guest's own. With unrestricted guest that includes PE and PG: the CPU makes the checks,
/// loads PDPTEs and keeps EFER.LMA in step by itself.
inline constexpr u64 kCr0GuestOwned =
    cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs | cr0::kEt | cr0::kWp | cr0::kAm | cr0::kPg;
/// Bits with no effect inside a guest, or none that a guest may have: only the read shadow moves. Caching
/// stays on; x87 errors are always native.
inline constexpr u64 kCr0ShadowOnly = cr0::kNe | cr0::kNw | cr0::kCd;

/// VME, PVI, TSD, DE, PSE, PAE, PGE, PCE, OSFXSR and OSXMMEXCPT exist on every 64-bit CPU: no policy needed.
/// The rest exits, so that the core decides.
inline constexpr u64 kCr4GuestOwned = (1u << 0) | (1u << 1) | (1u << 2) | (1u << 3) | cr4::kPse | cr4::kPae |
                                      cr4::kPge | (1u << 8) | cr4::kOsfxsr | cr4::kOsxmmexcpt;
/// Machine checks stay with the host: a guest that clears MCE must not shut the processor down.
inline constexpr u64 kCr4ShadowOnly = cr4::kMce;

constexpr u64 guest_view(u64 hardware, u64 shadow, u64 guest_owned) {
    return (hardware & guest_owned) | (shadow & ~guest_owned);
}

/// The value for the guest CR0 field that shows the guest @p view. CD and NW are never in force. Bits
/// fixed to 1 apply but for PE and PG, which an unrestricted guest may clear.
constexpr u64 hardware_cr0(u64 view, Controls const& c) {
    u64 const must = c.cr0_fixed0 & ~(cr0::kPe | cr0::kPg);
    u64 const visible = view & ~(cr0::kCd | cr0::kNw);
    return (visible | must | cr0::kNe) & c.cr0_fixed1 & 0xffff'ffff;
}
constexpr u64 hardware_cr4(u64 view, Controls const& c) {
    return ((view | c.cr4_fixed0) & c.cr4_fixed1) | cr4::kMce;
}

/// Whether MOV to CR0 with @p value differs from the guest's view in nothing but bits that live in the read
/// shadow. If so, writing the new shadow and running the instruction again does all that is asked. A value
/// that must fault (NW without CD) is left to the core.
constexpr bool cr0_needs_shadow_only(u64 view, u64 value) {
    u64 const owned_changes = (view ^ value) & ~kCr0GuestOwned;
    bool const legal = (value & (cr0::kNw | cr0::kCd)) != cr0::kNw;
    return legal && (owned_changes & ~kCr0ShadowOnly) == 0;
}
constexpr bool cr4_needs_shadow_only(u64 view, u64 value) {
    return ((view ^ value) & ~(kCr4GuestOwned | kCr4ShadowOnly)) == 0;
}

/// EFER with LMA as the CPU computes it.
constexpr u64 with_lma(u64 efer_value, u64 cr0_value) {
    constexpr u64 kLma = efer::kLma;
    bool const active = (efer_value & efer::kLme) != 0 && (cr0_value & cr0::kPg) != 0;
    return active ? efer_value | kLma : efer_value & ~kLma;
}
} // namespace hv::vmx
