// SPDX-License-Identifier: Apache-2.0
// May a guest put this value into CR0, CR4, EFER, XCR0, RFLAGS or RIP? Pure; the exit handlers ask, the
// backends obey.
#pragma once
#include "hv/core/registers.hpp"

namespace hv {
/// The control state that the rules look at.
struct ControlState {
    u64 cr0, cr3, cr4, efer;
    bool cs_long; ///< CS.L
};

/// Whether MOV to CR0 with @p value is legal; false means #GP(0). Source: SDM vol 2B, MOV—Move to/from
/// Control Registers; APM vol 2 §3.1.1, CR0 register.
constexpr bool cr0_write_allowed(ControlState const& s, u64 value) {
    if ((value >> 32) != 0) {
        return false;
    }
    if ((value & cr0::kPg) != 0 && (value & cr0::kPe) == 0) {
        return false;
    }
    if ((value & cr0::kNw) != 0 && (value & cr0::kCd) == 0) {
        return false;
    }
    bool const was_paging = (s.cr0 & cr0::kPg) != 0;
    bool const paging = (value & cr0::kPg) != 0;
    if (!was_paging && paging && (s.efer & efer::kLme) != 0 && ((s.cr4 & cr4::kPae) == 0 || s.cs_long)) {
        return false;
    }
    if (was_paging && !paging && ((s.cr4 & cr4::kPcide) != 0 || s.cs_long)) {
        return false;
    }
    if ((s.cr4 & (1ull << 23)) != 0 && (value & cr0::kWp) == 0) {
        return false;
    } // CR4.CET needs CR0.WP
    return true;
}

/// Whether MOV to CR4 with @p value is legal. @param allowed bits this guest has (CpuidPolicy::allowed_cr4)
constexpr bool cr4_write_allowed(ControlState const& s, u64 value, u64 allowed) {
    if ((value & ~allowed) != 0) {
        return false;
    }
    if ((s.efer & efer::kLma) != 0) {
        if ((value & cr4::kPae) == 0) {
            return false;
        }
        if (((value ^ s.cr4) & cr4::kLa57) != 0) {
            return false;
        }
    }
    bool const sets_pcide = (value & ~s.cr4 & cr4::kPcide) != 0;
    if (sets_pcide && ((s.efer & efer::kLma) == 0 || (s.cr3 & 0xfff) != 0)) {
        return false;
    }
    return true;
}

/// Whether WRMSR to IA32_EFER is legal. @param allowed CpuidPolicy::allowed_efer
constexpr bool efer_write_allowed(ControlState const& s, u64 value, u64 allowed) {
    if ((value & ~allowed) != 0) {
        return false;
    }
    bool const changes_lme = ((value ^ s.efer) & efer::kLme) != 0;
    return !(changes_lme && (s.cr0 & cr0::kPg) != 0);
}

/// IA32_EFER after a legal write: LMA is the processor's, not the guest's.
constexpr u64 efer_after_write(ControlState const& s, u64 value) {
    return (value & ~efer::kLma) | (s.efer & efer::kLma);
}

/// Whether XSETBV with index 0 is legal. @param allowed CpuidPolicy::allowed_xcr0. Source: SDM vol 2D, XSETBV
constexpr bool xcr0_write_allowed(u64 value, u64 allowed) {
    if ((value & ~allowed) != 0 || (value & 1) == 0) {
        return false;
    }
    return !((value & 4) != 0 && (value & 2) == 0);
}

/// Canonical for 48-bit linear addresses.
constexpr bool is_canonical(u64 address) {
    return static_cast<u64>(static_cast<s64>(address << 16) >> 16) == address;
}

/// Whether RFLAGS can become @p value without a change of mode: reserved bits stay (bit 1 may be given as 0),
/// and so does VM, which IRET and task switches alone change. Source: SDM vol 1, "EFLAGS Register"
constexpr bool rflags_write_allowed(u64 now, u64 value) {
    constexpr u64 kPlain = 0x3d'7fd7;
    return ((now ^ value) & ~kPlain) == 0;
}

/// Whether code can be at RIP @p value. Source: SDM vol 3C, "Checks on Guest RIP, RFLAGS, and SSP"
constexpr bool rip_allowed(bool in_64bit_code, u64 value) {
    return in_64bit_code ? is_canonical(value) : value >> 32 == 0;
}
} // namespace hv
