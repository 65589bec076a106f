// SPDX-License-Identifier: Apache-2.0
// What a segment register would hold with another selector.
#pragma once
#include "hv/debug/step_plan.hpp"

namespace hv::debug {
constexpr bool is_null(u16 selector) {
    return (selector & 0xfffc) == 0;
}
/// The register with a null selector. @return nothing where that is #GP: 64-bit code may have no stack
/// segment outside CPL 3, and everybody no data segment. Source: Intel SDM vol 2, "MOV".
std::optional<Segment> null_segment(Seg which, u16 selector, CodeMode, u8 cpl);
/// @p before with @p selector as in real and virtual-8086 mode.
Segment segment_by_paragraph(Segment before, u16 selector);

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
