// SPDX-License-Identifier: Apache-2.0
// VMX with EPT as the machine's VirtBackend: checks and enables CPUs, makes virtual processors and nested
// maps.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/vmx/controls.hpp"
#include "hv/vmx/cpu_slot.hpp"

namespace hv::vmx {
class VmxBackend final : public VirtBackend {
  public:
    std::string_view name() const override { return "VMX/EPT"; }
    /// The boot processor first, then one at a time.
    Result<void, VirtError> enable_cpu(u32 cpu_index, HostFrames& frames) override;
    std::string_view missing_feature() const override { return missing_; }
    Result<NestedMap*, VirtError> create_nested_map(HostFrames& frames) override;
    void destroy(NestedMap* map, HostFrames& frames) override;
    Result<VirtVcpu*, VirtError> create_vcpu(VcpuSetup const& setup, HostFrames& frames) override;
    void destroy(VirtVcpu* vcpu, HostFrames& frames) override;
    void hypercall_instruction(u8 (&bytes)[3]) const override;

    Controls const& controls() const { return controls_; }
    Hpa msr_bitmap() const { return msr_bitmap_physical_; }
    /// How many of kLiveMsrs are switched.
    usize live_msr_count() const;
    /// The slot of the CPU this runs on, which must be enabled.
    CpuSlot& this_cpu();

  private:
    Result<void, VirtError> check_cpu();
    Result<void, VirtError> make_msr_bitmap(HostFrames& frames);

    std::string_view missing_;
    Controls controls_;
    bool have_controls_ = false;
    void* msr_bitmap_ = nullptr;
    Hpa msr_bitmap_physical_;
    CpuSlot slots_[CpuSlot::kMax];
};

/// Whether this CPU is one for VmxBackend at all (CPUID.1:ECX.VMX). Any context.
bool cpu_has_vmx();
/// The machine's only VmxBackend, made at the first call; by the boot processor, before others run.
VmxBackend& backend();
} // namespace hv::vmx
