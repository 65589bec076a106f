// SPDX-License-Identifier: Apache-2.0
// What the backend knows of each physical CPU.
#pragma once
#include "hv/base/types.hpp"

namespace hv::vmx {
class VmxVcpu;

struct CpuSlot {
    static constexpr u32 kMax = 256;
    bool enabled = false;
    u32 apic_id = 0; ///< how a CPU finds its slot
    void* vmxon_region = nullptr;
    VmxVcpu* loaded = nullptr; ///< whose VMCS is current and whose live state is in the processor
};
} // namespace hv::vmx
