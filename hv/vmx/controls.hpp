// SPDX-License-Identifier: Apache-2.0
// Which VMX controls this machine runs with: pure arithmetic over the capability MSRs, so that a test can
// feed it any processor.
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/arch/vmx.hpp"
#include "hv/base/result.hpp"
#include <span>
#include <string_view>

namespace hv::vmx {
/// One bit of a control word, and what it is to us.
struct ControlWish {
    enum class Kind : u8 {
        Needed,    ///< set, and refuse the CPU where it cannot be
        Optional,  ///< set where it can be
        Dynamic,   ///< must be settable, starts at 0 (interrupt window …)
        Forbidden, ///< refuse a CPU that wants it set
    };
    u64 mask;
    Kind kind;
    std::string_view name; ///< the manual's
};

struct ControlChoice {
    u32 word = 0;             ///< what to write
    u32 settable = 0;         ///< bits that may be 1: for optional dynamic ones
    std::string_view missing; ///< empty, or the wish that cannot be met
};

/// Chooses a 32-bit control word the CPU accepts.
/// @param capability the matching IA32_VMX_(TRUE_)*_CTLS: low half must be 1, high half may be 1
/// Pure; any context. Source: Intel SDM vol 3D, appendix A.3 to A.5.
constexpr ControlChoice negotiate(std::span<ControlWish const> wishes, u64 capability) {
    auto const must = static_cast<u32>(capability);
    auto const may = static_cast<u32>(capability >> 32);
    ControlChoice choice{must, may, {}};
    for (ControlWish const& wish : wishes) {
        auto const bits = static_cast<u32>(wish.mask);
        bool const settable = (bits & ~may) == 0;
        switch (wish.kind) {
        case ControlWish::Kind::Needed:
            if (!settable) return {0, may, wish.name};
            choice.word |= bits;
            break;
        case ControlWish::Kind::Optional: choice.word |= settable ? bits : 0; break;
        case ControlWish::Kind::Dynamic:
            if (!settable || (must & bits) != 0) return {0, may, wish.name};
            break;
        case ControlWish::Kind::Forbidden:
            if ((must & bits) != 0) return {0, may, wish.name};
            break;
        }
    }
    return choice;
}

/// All that is chosen once for a machine; every processor must come to the same.
struct Controls {
    u32 pin = 0;
    u32 primary = 0;
    u32 secondary = 0;
    u32 exit = 0;
    u32 entry = 0;
    u32 revision = 0; ///< first word of each VMCS region
    u8 timer_shift = 0;
    bool has_timer = false;
    bool has_monitor_trap = false;
    bool has_vpid = false;
    bool has_pat = false;
    bool has_rdtscp = false;
    bool ept_accessed_dirty = false;
    bool invept_single = false;
    bool invvpid_single = false;
    u64 cr0_fixed0 = 0, cr0_fixed1 = 0;
    u64 cr4_fixed0 = 0, cr4_fixed1 = 0;

    constexpr bool operator==(Controls const&) const = default;
};

/// What a processor offers, copied from its MSRs.
struct Capabilities {
    u64 basic = 0, pin = 0, primary = 0, secondary = 0, exit = 0, entry = 0, misc = 0, ept_vpid = 0;
    u64 cr0_fixed0 = 0, cr0_fixed1 = 0, cr4_fixed0 = 0, cr4_fixed1 = 0;
};

/// Reads the capability MSRs; only on a CPU that has VMX. Secondary and EPT capabilities stay 0 on one that
/// lacks their MSRs.
template <arch::MsrAccess C>
Capabilities read_capabilities(C& cpu) {
    using namespace arch::vmx;
    Capabilities caps;
    caps.basic = cpu.rdmsr(IA32_VMX_BASIC);
    caps.misc = cpu.rdmsr(IA32_VMX_MISC);
    caps.cr0_fixed0 = cpu.rdmsr(IA32_VMX_CR0_FIXED0);
    caps.cr0_fixed1 = cpu.rdmsr(IA32_VMX_CR0_FIXED1);
    caps.cr4_fixed0 = cpu.rdmsr(IA32_VMX_CR4_FIXED0);
    caps.cr4_fixed1 = cpu.rdmsr(IA32_VMX_CR4_FIXED1);
    if (basic::TrueControls::get(caps.basic) == 0) {
        return caps; // too old for unrestricted guests: choose_controls() refuses it by name
    }
    caps.pin = cpu.rdmsr(IA32_VMX_TRUE_PINBASED_CTLS);
    caps.primary = cpu.rdmsr(IA32_VMX_TRUE_PROCBASED_CTLS);
    caps.exit = cpu.rdmsr(IA32_VMX_TRUE_EXIT_CTLS);
    caps.entry = cpu.rdmsr(IA32_VMX_TRUE_ENTRY_CTLS);
    bool const secondary = primary::ActivateSecondaryControls::get(caps.primary >> 32) != 0;
    caps.secondary = secondary ? cpu.rdmsr(IA32_VMX_PROCBASED_CTLS2) : 0;
    bool const ept = secondary::EnableEpt::get(caps.secondary >> 32) != 0;
    caps.ept_vpid = ept ? cpu.rdmsr(IA32_VMX_EPT_VPID_CAP) : 0;
    return caps;
}

struct ControlsOrMissing {
    Controls controls;
    std::string_view missing; ///< empty, or the manual's name of what the CPU lacks
};
/// Pure; any context.
ControlsOrMissing choose_controls(Capabilities const& caps);
} // namespace hv::vmx
