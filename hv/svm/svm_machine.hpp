// SPDX-License-Identifier: Apache-2.0
// What all virtual processors of this backend share: the features, the permission maps, and each CPU's pages.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/svm/svm_features.hpp"
#include <array>

namespace hv::svm {
/// One physical CPU. The host save area identifies it: its address is in the CPU's own VM_HSAVE_PA.
struct SvmCpu {
    Hpa host_save_area; ///< written by VMRUN, read by #VMEXIT; 0: this CPU is not enabled
    Hpa host_vmcb;      ///< our VMSAVE of the host state VMRUN leaves alone
};

/// Written by SvmBackend while CPUs start, constant afterwards.
struct SvmMachine {
    static constexpr u32 kMaxCpus = 256;
    SvmFeatures features;
    Hpa io_map;
    Hpa msr_map;
    std::array<SvmCpu, kMaxCpus> cpus;

    /// The CPU whose VM_HSAVE_PA is @p host_save_area, or null.
    SvmCpu const* find(u64 host_save_area) const {
        for (SvmCpu const& cpu : cpus) {
            if (cpu.host_save_area.raw == host_save_area) {
                return &cpu;
            }
        }
        return nullptr;
    }
};
} // namespace hv::svm
