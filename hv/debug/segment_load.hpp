// SPDX-License-Identifier: Apache-2.0
// What a segment register would hold with another selector.
#pragma once
#include "hv/debug/step_plan.hpp"

namespace hv::debug {
/// Whether a processor at this CPL would take @p loaded into @p which for @p selector (not null), in
/// protected or long mode. CS as for a far jump that changes no privilege. Source: Intel SDM vol 3A,
/// "Privilege Level Checking When Accessing Data Segments" and "… When Loading the SS Register"; vol 2,
/// "MOV", "JMP".
bool loadable(Seg which, u16 selector, Segment const& loaded, u8 cpl);

/// The register with @p selector and the hidden part that goes with it, for ES, CS, SS, DS, FS and GS: from
/// the guest's GDT or LDT, or by the rule of real and virtual-8086 mode. Tables are read as a debugger does
/// and not marked. @return nothing where a processor would fault
std::optional<Segment> segment_with(CpuView&, GuestAccess&, SystemView&, Seg which, u16 selector);
} // namespace hv::debug
