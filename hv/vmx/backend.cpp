// SPDX-License-Identifier: Apache-2.0
#include "hv/vmx/backend.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/arch/ops/vmx_ops.hpp"
#include "hv/vmx/ept_table.hpp"
#include "hv/vmx/live_state.hpp"
#include "hv/vmx/msr_bitmap.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
namespace {
/// This CPU's x2APIC ID, or where CPUID has no leaf 0Bh its initial APIC ID. Source: SDM vol 2A, CPUID.
u32 own_apic_id() {
    constexpr u32 kTopologyLeaf = 0xb;
    if (arch::cpuid(0).eax >= kTopologyLeaf) {
        arch::CpuidResult const topology = arch::cpuid(kTopologyLeaf);
        if (topology.ebx != 0) {
            return topology.edx;
        }
    }
    return static_cast<u32>(Bits<31, 24>::get(arch::cpuid(1).ebx));
}
} // namespace

bool cpu_has_vmx() {
    using Vmx = Bits<5>; // CPUID.1:ECX
    return Vmx::get(arch::cpuid(1).ecx) != 0;
}

VmxBackend& backend() {
    // Not a plain static: its destructor would have to be registered, and nothing here ever exits.
    alignas(VmxBackend) static constinit u8 space[sizeof(VmxBackend)] = {};
    static constinit VmxBackend* only = nullptr;
    if (only == nullptr) {
        only = new (space) VmxBackend;
    }
    return *only;
}

/// Whether this CPU has what we need, and the same as the CPUs before it.
Result<void, VirtError> VmxBackend::check_cpu() {
    if (!cpu_has_vmx()) {
        missing_ = "CPUID.1:ECX.VMX";
        return Err{VirtError::NotSupported};
    }
    namespace lock = arch::vmx::feature_control;
    u64 features = arch::rdmsr(arch::vmx::IA32_FEATURE_CONTROL);
    if (lock::Lock::get(features) == 0) { // firmware left the choice to us
        features |= lock::Lock::mask | lock::VmxOutsideSmx::mask;
        arch::wrmsr(arch::vmx::IA32_FEATURE_CONTROL, features);
    }
    if (lock::VmxOutsideSmx::get(features) == 0) {
        missing_ = "IA32_FEATURE_CONTROL, enable VMX outside SMX operation";
        return Err{VirtError::DisabledByFirmware};
    }
    arch::RealCpu cpu;
    ControlsOrMissing const chosen = choose_controls(read_capabilities(cpu));
    if (!chosen.missing.empty()) {
        missing_ = chosen.missing;
        return Err{VirtError::NotSupported};
    }
    if (have_controls_ && !(chosen.controls == controls_)) {
        missing_ = "the VMX capabilities of the first processor";
        return Err{VirtError::NotSupported};
    }
    if (!have_controls_) {
        controls_ = chosen.controls;
        have_controls_ = true;
    }
    return {};
}

usize VmxBackend::live_msr_count() const {
    return controls_.has_rdtscp ? kLiveMsrCount : kLiveMsrCount - 1;
}

Result<void, VirtError> VmxBackend::make_msr_bitmap(HostFrames& frames) {
    if (msr_bitmap_ != nullptr) {
        return {};
    }
    msr_bitmap_ = frames.allocate();
    if (msr_bitmap_ == nullptr) {
        return Err{VirtError::OutOfMemory};
    }
    msr_bitmap_physical_ = frames.physical(msr_bitmap_);
    MsrBitmap bitmap{std::span<u8, kPageBytes>{static_cast<u8*>(msr_bitmap_), kPageBytes}};
    bitmap.intercept_all();
    for (StateMsr msr : {StateMsr::IA32_SYSENTER_CS, StateMsr::IA32_SYSENTER_ESP, StateMsr::IA32_SYSENTER_EIP,
                         StateMsr::IA32_FS_BASE, StateMsr::IA32_GS_BASE}) {
        bitmap.pass_through(static_cast<u32>(msr)); // these the VMCS carries
    }
    for (usize i = 0; i < live_msr_count(); ++i) {
        bitmap.pass_through(kLiveMsrs[i]);
    }
    return {};
}

Result<void, VirtError> VmxBackend::enable_cpu(u32 cpu_index, HostFrames& frames) {
    HV_ASSERT(cpu_index < CpuSlot::kMax);
    HV_TRY(check_cpu());
    HV_TRY(make_msr_bitmap(frames));
    CpuSlot& slot = slots_[cpu_index];
    slot.vmxon_region = frames.allocate();
    if (slot.vmxon_region == nullptr) {
        return Err{VirtError::OutOfMemory};
    }
    *static_cast<u32*>(slot.vmxon_region) = controls_.revision;
    // VMX operation fixes some bits, and faults VMXON on a CPU that does not have them so (SDM vol 3D, A.7,
    // A.8).
    arch::write_cr0((arch::read_cr0() | controls_.cr0_fixed0) & controls_.cr0_fixed1);
    arch::write_cr4((arch::read_cr4() | cr4::kVmxe | controls_.cr4_fixed0) & controls_.cr4_fixed1);
    if (!arch::vmxon(frames.physical(slot.vmxon_region))) {
        frames.free(slot.vmxon_region);
        slot.vmxon_region = nullptr;
        return Err{VirtError::HardwareRefused};
    }
    slot.apic_id = own_apic_id();
    slot.enabled = true;
    return {};
}

CpuSlot& VmxBackend::this_cpu() {
    u32 const id = own_apic_id();
    for (CpuSlot& slot : slots_) {
        if (slot.enabled && slot.apic_id == id) {
            return slot;
        }
    }
    panic("VMX is not enabled on this processor");
}

Result<NestedMap*, VirtError> VmxBackend::create_nested_map(HostFrames& frames) {
    NestedMap* const map = mm::create_nested_table(mm::kEptFormat, frames);
    if (map == nullptr) {
        return Err{VirtError::OutOfMemory};
    }
    return map;
}

void VmxBackend::destroy(NestedMap* map, HostFrames& frames) {
    mm::destroy_nested_table(map, frames);
}

Result<VirtVcpu*, VirtError> VmxBackend::create_vcpu(VcpuSetup const& setup, HostFrames& frames) {
    static_assert(sizeof(VmxVcpu) <= kPageBytes);
    void* const object = frames.allocate();
    void* const region = frames.allocate();
    if (object == nullptr || region == nullptr) {
        for (void* frame : {object, region}) {
            if (frame != nullptr) {
                frames.free(frame);
            }
        }
        return Err{VirtError::OutOfMemory};
    }
    return static_cast<VirtVcpu*>(new (object) VmxVcpu(*this, frames, setup, region));
}

void VmxBackend::destroy(VirtVcpu* vcpu, HostFrames& frames) {
    if (vcpu == nullptr) {
        return;
    }
    auto* const mine = static_cast<VmxVcpu*>(vcpu);
    mine->unload();
    void* const region = mine->vmcs_region();
    mine->~VmxVcpu();
    frames.free(region);
    frames.free(mine);
}

void VmxBackend::hypercall_instruction(u8 (&bytes)[3]) const {
    bytes[0] = 0x0f; // VMCALL
    bytes[1] = 0x01;
    bytes[2] = 0xc1;
}
} // namespace hv::vmx
