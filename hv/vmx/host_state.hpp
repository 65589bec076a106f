// SPDX-License-Identifier: Apache-2.0
// The host-state area of a VMCS: what the CPU loads at each exit. Written when a virtual processor comes to a
// physical CPU; nothing in it changes while it stays there, host RSP apart.
#pragma once
#include "hv/vmx/controls.hpp"
#include "hv/vmx/current_vmcs.hpp"
#include <span>

namespace hv::vmx {
/// The base of the 64-bit TSS or LDT descriptor at @p selector in a descriptor table. 0 when the table is too
/// short. Pure. Source: Intel SDM vol 3A, "TSS Descriptor in 64-bit mode".
constexpr u64 system_descriptor_base(std::span<u64 const> table, u16 selector) {
    usize const index = selector / 8;
    if (index + 1 >= table.size()) {
        return 0;
    }
    u64 const low = table[index];
    u64 const bits_23_0 = Bits<39, 16>::get(low);
    u64 const bits_31_24 = Bits<63, 56>::get(low);
    u64 const bits_63_32 = Bits<31, 0>::get(table[index + 1]);
    return bits_23_0 | (bits_31_24 << 24) | (bits_63_32 << 32);
}

/// Copies this CPU's state into the host-state area of the current VMCS, and the address that exits go to.
void write_host_state(CurrentVmcs vmcs, Controls const& controls);
} // namespace hv::vmx
