// SPDX-License-Identifier: Apache-2.0
// Guest-virtual to guest-physical: the walk that the processor does, done by us for instruction fetches, for
// emulated memory operands and for the debugger.
#pragma once
#include "hv/core/access.hpp"
#include "hv/core/cpu_view.hpp"
#include "hv/core/guest_access.hpp"
#include <optional>

namespace hv {
/// The registers that decide a translation. Build it once an exit.
struct PagingState {
    u64 cr0 = 0;
    u64 cr3 = 0;
    u64 cr4 = 0;
    u64 efer = 0;
    u8 cpl = 0;
    bool alignment_check = false; ///< RFLAGS.AC, which opens SMAP
    u8 physical_bits = 52;        ///< guest's CPUID 80000008 EAX[7:0]; higher address bits are reserved

    bool paging() const { return (cr0 & cr0::kPg) != 0; }
    bool long_mode() const { return (efer & efer::kLma) != 0; }
};
PagingState paging_state(CpuView&);

struct WalkIntent {
    Access access = Access::R; ///< one of R, W, X
    /// Accesses the processor makes on its own behalf (descriptor tables, TSS): supervisor whatever the CPL.
    bool implicit_supervisor = false;
    /// Sets accessed and dirty bits as the processor would. The debugger leaves the guest untouched.
    bool set_accessed_dirty = true;
    /// false: any present translation will do (debugger).
    bool check_permissions = true;
};

struct WalkFault {
    enum class Kind : u8 {
        NonCanonical,     ///< #GP(0), or #SS(0) for a stack access
        PageFault,        ///< #PF with `error_code`; CR2 = `linear`
        TableUnreachable, ///< a table lies outside guest RAM or in ballooned memory: `memory`
    } kind;
    GuestMemoryError memory;
    u32 error_code; ///< SDM vol 3A, "Page-fault exception": bit 0 P, 1 W/R, 2 U/S, 3 RSVD, 4 I/D
    u64 linear;
};

struct Translation {
    Gpa gpa;        ///< of the byte asked for
    u64 page_bytes; ///< how much around it the same entry translates; ~0 without paging
};

namespace page_fault {
inline constexpr u32 kPresent = 1, kWrite = 2, kUser = 4, kReserved = 8, kFetch = 16;
}

/// Translates one guest-linear address: no paging, 32-bit, PAE, 4-level and 5-level tables.
/// Knows WP, SMEP, SMAP, NX, PSE-36 and reserved bits; not protection keys (never offered to guests) and not
/// the PDPTE registers (PAE's four top entries are read from memory each time).
/// Reads guest memory only through @p memory, one entry at a time, each read once. Does not allocate.
/// Source: Intel SDM vol 3A, "Paging".
Result<Translation, WalkFault> walk(GuestAccess& memory, PagingState const&, u64 linear, WalkIntent);

/// Bytes from guest-linear memory, across pages, as data or code access at the current privilege.
/// @return bytes copied when the first page could be read (fewer than asked for if a later page faults, then
/// @p later_fault is filled), otherwise the first page's fault.
Result<u32, WalkFault> read_linear(GuestAccess& memory, PagingState const&, u64 linear, std::span<u8> to,
                                   WalkIntent, std::optional<WalkFault>& later_fault);
} // namespace hv
