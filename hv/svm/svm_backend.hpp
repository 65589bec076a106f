// SPDX-License-Identifier: Apache-2.0
// VirtBackend over AMD's Secure Virtual Machine with nested paging.
#pragma once
#include "hv/base/spin_lock.hpp"
#include "hv/core/virt_backend.hpp"
#include "hv/svm/svm_machine.hpp"

namespace hv::svm {
/// One per machine. Frames given to the first enable_cpu() call must stay
/// usable for ever: what is taken for CPUs is never given back.
class SvmBackend final : public VirtBackend {
  public:
    SvmBackend() = default;
    SvmBackend(SvmBackend const&) = delete;
    SvmBackend& operator=(SvmBackend const&) = delete;

    std::string_view name() const override { return "SVM/NPT"; }
    /// On the CPU itself, with its GDT and TSS loaded: VMLOAD brings back what is loaded at VirtVcpu::load().
    /// A CPU that lacks an optional feature the first one has is refused (HardwareRefused).
    Result<void, VirtError> enable_cpu(u32 cpu_index, HostFrames& frames) override;
    std::string_view missing_feature() const override { return missing_; }

    Result<NestedMap*, VirtError> create_nested_map(HostFrames& frames) override;
    void destroy(NestedMap* map, HostFrames& frames) override;
    /// @p setup.nested must come from create_nested_map().
    Result<VirtVcpu*, VirtError> create_vcpu(VcpuSetup const& setup, HostFrames& frames) override;
    void destroy(VirtVcpu* vcpu, HostFrames& frames) override;
    void hypercall_instruction(u8 (&bytes)[3]) const override;

    SvmFeatures const& features() const { return machine_.features; }

  private:
    Result<void, VirtError> set_up_machine(SvmFeatures const& features, HostFrames& frames);

    SpinLock lock_; ///< guards machine_ and missing_ while CPUs start
    bool ready_ = false;
    SvmMachine machine_{};
    std::string_view missing_;
};
/// Whether this CPU is one for SvmBackend at all (CPUID Fn8000_0001 ECX[SVM]); a firmware lock shows in
/// enable_cpu(). Any context.
bool cpu_has_svm();
/// The machine's only SvmBackend, made at the first call; by the boot processor, before others run.
SvmBackend& backend();
} // namespace hv::svm
