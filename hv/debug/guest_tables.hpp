// SPDX-License-Identifier: Apache-2.0
// The guest's stack, descriptor tables and interrupt table, looked at to know where an instruction will lead.
// Private to this module.
#pragma once
#include "hv/debug/step_plan.hpp"

namespace hv::debug {
/// Reads guest-linear memory as a debugger does: no permissions, no accessed bits. @return false unless all
/// of it
bool peek(CpuView&, GuestAccess&, u64 linear, std::span<u8> to);
template <class T>
bool peek(CpuView& cpu, GuestAccess& memory, u64 linear, T& value) {
    return peek(cpu, memory, linear, {reinterpret_cast<u8*>(&value), sizeof value});
}

/// Linear address of the stack's top plus @p offset, by the width of the stack pointer.
u64 stack_linear(CpuView&, CodeMode, u64 offset);
/// Linear address of CS:(RIP + @p offset).
u64 code_linear(CpuView&, CodeMode, u64 offset);

/// Linear address of @p selector's descriptor in the GDT or LDT. @return false where it is outside the table
bool descriptor_address(CpuView&, SystemView&, u16 selector, u64& linear);

/// A descriptor of a code or data segment. Source: Intel SDM vol 3A, "Segment Descriptors".
Segment segment_of(u16 selector, u64 descriptor);

/// Where an interrupt leads.
struct Handler {
    u64 linear = 0;
    u16 selector = 0;
    u64 offset = 0; ///< RIP
    u64 base = 0;   ///< CS.base
};
/// The handler of @p vector, for an event or (@p software) for INT n, INT3 and INTO. Nothing where its
/// delivery will fault or switch tasks. Source: Intel SDM vol 3A, "IDT Descriptors", "64-Bit Mode IDT",
/// "Interrupt and Exception handling in virtual-8086 mode"; vol 3B, "Real-address mode".
std::optional<Handler> handler_of_event(CpuView&, GuestAccess&, SystemView&, u8 vector);
std::optional<Handler> handler_of_instruction(CpuView&, GuestAccess&, SystemView&,
                                              decode::StepInstruction const&);
} // namespace hv::debug
