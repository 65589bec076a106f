// SPDX-License-Identifier: Apache-2.0
// Who gets which of the four debug registers, and whose hit it was. The guest's own breakpoints always get
// theirs; the debugger's points take what is left, and the rest is guarded by page permissions.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/debug/point_table.hpp"

namespace hv::debug {
struct Placement {
    struct Owner {
        enum class Kind : u8 { None, Guest, Point } kind = Kind::None;
        u8 guest_number = 0; ///< Guest: the DR number that the guest knows it by
        u64 points = 0;      ///< Point: the points it stands for (more than one: inserted as Z0 and Z1)
        constexpr bool operator==(Owner const&) const = default;
    };
    HardwareBreakpoints hardware; ///< for VirtVcpu::arm_breakpoints()
    Owner owner[4];
    u64 guarded = 0;  ///< points to be guarded by page
    u64 homeless = 0; ///< points that have no register and cannot be guarded now

    constexpr bool operator==(Placement const&) const = default;
};

struct PlacementRules {
    u64 unguardable = 0; ///< points whose page cannot be guarded now: they have first claim on a register
    /// Code breakpoints may be armed: false in code with a CS.base where the machine ignores that
    /// (VirtVcpu::breakpoints_ignore_cs_base).
    bool code_breakpoints = true;
    /// Execution points below this are guarded by page even where a register is free.
    u64 code_breakpoints_from = 0;
    unsigned registers =
        4; ///< how many may be used: 3 leaves one for a one-shot breakpoint (with_one_shot())
};

/// Places the guest's enabled breakpoints, then execution points that cannot be guarded, execution points,
/// and watchpoints that x86 can express: Write and Access of 1, 2, 4 or 8 aligned bytes. There is no
/// read-only type, so Read is guarded. The guest's come first even beyond `registers`.
/// @param guest DR0–3 and DR7 as the guest sees them. Pure; any context.
/// Source: Intel SDM vol 3B, "Debug Control Register (DR7)", "Breakpoint Field Recognition".
Placement place(HardwareBreakpoints const& guest, PointTable const&, PlacementRules const&);

struct Hits {
    u64 guest = 0;         ///< B0–B3 as the guest numbers them
    u64 points = 0;        ///< the debugger's
    bool one_shot = false; ///< the register that with_one_shot() took
};
/// Whose are B0–B3 of @p dr6? Processors may set them for registers that match but are not enabled: only
/// enabled ones count. The other bits of @p dr6 (BS, BT, BD) are the caller's.
Hits sort_hits(Placement const&, u64 dr6);

struct OneShot {
    HardwareBreakpoints hardware;
    u8 number; ///< the register it took
};
/// @p placement with a code breakpoint at @p linear, for the length of one instruction: in a free register,
/// else instead of a point of the debugger's, else instead of a breakpoint of the guest's.
OneShot with_one_shot(Placement const& placement, u64 linear);
/// The same as above while the one-shot is armed: its own register's owner is out.
Hits sort_hits(Placement const&, OneShot const&, u64 dr6);
} // namespace hv::debug
