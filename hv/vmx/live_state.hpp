// SPDX-License-Identifier: Apache-2.0
// Guest registers that stay in the processor while a virtual processor is loaded, because neither the VMCS
// carries them nor the hypervisor uses them: switched when another one is loaded, not at exits.
#pragma once
#include "hv/core/registers.hpp"

namespace hv::vmx {
inline constexpr u32 IA32_TSC_AUX = 0xc000'0103;
inline constexpr u32 kLiveMsrs[] = {
    static_cast<u32>(StateMsr::IA32_STAR),
    static_cast<u32>(StateMsr::IA32_LSTAR),
    static_cast<u32>(StateMsr::IA32_CSTAR),
    static_cast<u32>(StateMsr::IA32_FMASK),
    static_cast<u32>(StateMsr::IA32_KERNEL_GS_BASE),
    IA32_TSC_AUX, // last: only where RDTSCP is enabled
};
inline constexpr usize kLiveMsrCount = sizeof kLiveMsrs / sizeof kLiveMsrs[0];

struct LiveState {
    u64 msrs[kLiveMsrCount] = {};
    u64 cr2 = 0;

    /// From the processor. @param msr_count how many of kLiveMsrs this machine switches
    void save(usize msr_count);
    /// Into the processor.
    void restore(usize msr_count) const;
};
} // namespace hv::vmx
