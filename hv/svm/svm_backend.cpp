// SPDX-License-Identifier: Apache-2.0
#include "hv/svm/svm_backend.hpp"
#include "hv/svm/contiguous_frames.hpp"
#include "hv/svm/npt_map.hpp"
#include "hv/svm/permission_maps.hpp"
#include "hv/svm/svm_vcpu.hpp"
#include "hv/svm/world_switch.hpp"
#include <new>

namespace hv::svm {
namespace {
namespace msr = arch::svm::msr;

struct ThisCpu {
    arch::CpuidResult cpuid(u32 leaf, u32 subleaf) const {
        arch::CpuidResult r;
        hv_svm_cpuid(leaf, subleaf, &r);
        return r;
    }
};

/// VM_CR after SVM was switched on, where the firmware has left it off without locking that.
/// Source: AMD APM vol 2 §15.30.1, "VM_CR MSR": without LOCK, SVMDIS can be written.
u64 unlocked_vm_cr() {
    using arch::svm::kVmCrLock, arch::svm::kVmCrSvmDisable;
    u64 const found = hv_svm_rdmsr(msr::kVmCr);
    if ((found & (kVmCrLock | kVmCrSvmDisable)) != kVmCrSvmDisable) {
        return found;
    }
    hv_svm_wrmsr(msr::kVmCr, found & ~kVmCrSvmDisable);
    return hv_svm_rdmsr(msr::kVmCr);
}

/// Every optional feature we may come to rely on is there.
bool covers(SvmFeatures const& cpu, SvmFeatures const& first) {
    auto const has = [](bool mine, bool wanted) { return mine || !wanted; };
    return has(cpu.next_rip_save, first.next_rip_save) && has(cpu.vmcb_clean, first.vmcb_clean) &&
           has(cpu.flush_by_asid, first.flush_by_asid) && has(cpu.decode_assists, first.decode_assists) &&
           has(cpu.rdtscp, first.rdtscp) && cpu.asid_count >= first.asid_count;
}
} // namespace

Result<void, VirtError> SvmBackend::enable_cpu(u32 cpu_index, HostFrames& frames) {
    LockGuard const guard{lock_};
    HV_ASSERT(cpu_index < SvmMachine::kMaxCpus && machine_.cpus[cpu_index].host_save_area.raw == 0);
    ThisCpu cpu;
    // VM_CR exists only where SVM does.
    u64 const vm_cr = has_svm(cpu) ? unlocked_vm_cr() : 0;
    SvmFeatures const features = HV_TRY(detect(cpu, vm_cr, missing_));
    if (!ready_) {
        HV_TRY(set_up_machine(features, frames));
    } else if (!covers(features, machine_.features)) {
        missing_ = "the same SVM features as on the first processor";
        return Err{VirtError::NotSupported};
    }
    void* const save_area = frames.allocate();
    void* const host_vmcb = frames.allocate();
    if (save_area == nullptr || host_vmcb == nullptr) {
        for (void* const frame : {save_area, host_vmcb}) {
            if (frame != nullptr) {
                frames.free(frame);
            }
        }
        return Err{VirtError::OutOfMemory};
    }
    // NXE: without it in the host, NX in a nested entry is a reserved bit and a fetch is not told from a
    // read.
    u64 const wanted = efer::kSvme | efer::kNxe;
    hv_svm_wrmsr(msr::kEfer, hv_svm_rdmsr(msr::kEfer) | wanted);
    Hpa const save_area_at = frames.physical(save_area);
    hv_svm_wrmsr(msr::kVmHsavePa, save_area_at.raw);
    if ((hv_svm_rdmsr(msr::kEfer) & wanted) != wanted || hv_svm_rdmsr(msr::kVmHsavePa) != save_area_at.raw) {
        return Err{VirtError::HardwareRefused};
    }
    machine_.cpus[cpu_index] = {save_area_at, frames.physical(host_vmcb)};
    return {};
}

Result<void, VirtError> SvmBackend::set_up_machine(SvmFeatures const& features, HostFrames& frames) {
    constexpr unsigned kIoPages = kIoMapBytes / kPageBytes, kMsrPages = kMsrMapBytes / kPageBytes;
    u8* const maps = static_cast<u8*>(allocate_contiguous<kIoPages + kMsrPages>(frames));
    if (maps == nullptr) {
        return Err{VirtError::OutOfMemory};
    }
    fill_io_map(std::span<u8, kIoMapBytes>{maps, kIoMapBytes});
    fill_msr_map(std::span<u8, kMsrMapBytes>{maps + kIoMapBytes, kMsrMapBytes});
    machine_.features = features;
    machine_.io_map = frames.physical(maps);
    machine_.msr_map = machine_.io_map + kIoMapBytes;
    ready_ = true;
    return {};
}

Result<NestedMap*, VirtError> SvmBackend::create_nested_map(HostFrames& frames) {
    NestedMap* const map = mm::create_nested_table(mm::kNptFormat, frames);
    if (map == nullptr) {
        return Err{VirtError::OutOfMemory};
    }
    return map;
}

void SvmBackend::destroy(NestedMap* map, HostFrames& frames) {
    mm::destroy_nested_table(map, frames);
}

Result<VirtVcpu*, VirtError> SvmBackend::create_vcpu(VcpuSetup const& setup, HostFrames& frames) {
    HV_ASSERT(ready_ && setup.nested != nullptr);
    void* const object = frames.allocate();
    void* const vmcb = frames.allocate();
    if (object == nullptr || vmcb == nullptr) {
        for (void* const frame : {object, vmcb}) {
            if (frame != nullptr) {
                frames.free(frame);
            }
        }
        return Err{VirtError::OutOfMemory};
    }
    return static_cast<VirtVcpu*>(
        new (object) SvmVcpu(machine_, setup, *new (vmcb) arch::Vmcb{}, frames.physical(vmcb)));
}

void SvmBackend::destroy(VirtVcpu* vcpu, HostFrames& frames) {
    auto* const mine = static_cast<SvmVcpu*>(vcpu);
    void* const vmcb = &mine->vmcb_memory();
    mine->~SvmVcpu();
    frames.free(vmcb);
    frames.free(mine);
}

void SvmBackend::hypercall_instruction(u8 (&bytes)[3]) const {
    bytes[0] = 0x0f; // VMMCALL
    bytes[1] = 0x01;
    bytes[2] = 0xd9;
}
bool cpu_has_svm() {
    ThisCpu cpu;
    return has_svm(cpu);
}

SvmBackend& backend() {
    alignas(SvmBackend) static constinit u8 space[sizeof(SvmBackend)] = {};
    static constinit SvmBackend* made = nullptr; // never destroyed: no exit handler is registered for it
    if (made == nullptr) {
        made = new (space) SvmBackend;
    }
    return *made;
}
} // namespace hv::svm
