// SPDX-License-Identifier: Apache-2.0
// What this processor's SVM can do, read once a CPU. Pure over the CPUID and MSR it is given.
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/arch/svm.hpp"
#include "hv/base/result.hpp"
#include "hv/core/virt_backend.hpp"

namespace hv::svm {
/// Optional features, each with a fall-back in this backend, and the size of the ASID space.
struct SvmFeatures {
    bool next_rip_save = false;  ///< else the core measures the instruction
    bool vmcb_clean = false;     ///< else all is reloaded each time; the field is kept right either way
    bool flush_by_asid = false;  ///< else a flush takes every guest's translations
    bool decode_assists = false; ///< else the core decodes MOV CRn and MOV DRn
    bool rdtscp = false;         ///< else there is no TSC_AUX
    bool rdpru = false;          ///< exists, so it must be intercepted
    bool invlpgb = false;
    bool mcommit = false;
    u32 asid_count = 0; ///< ASIDs are 1 … asid_count - 1

    constexpr bool operator==(SvmFeatures const&) const = default;
};

inline constexpr u32 kSvmLeaf = 0x8000'000a, kExtendedLeaf = 0x8000'0001, kSizesLeaf = 0x8000'0008;

/// Whether the processor knows SVM at all.
template <arch::CpuidAccess C>
bool has_svm(C& cpu) {
    return cpu.cpuid(0x8000'0000, 0).eax >= kSvmLeaf &&
           (cpu.cpuid(kExtendedLeaf, 0).ecx & arch::svm::kCpuidSvm) != 0;
}

/// Reads CPUID and decides.
/// @param vm_cr   value of the VM_CR MSR, 0 where SVM itself is absent
/// @param missing receives the manual's name of what a refused CPU lacks
/// Source: AMD APM vol 2 §15.4, "Enabling SVM"; vol 3 appendix E, Fn8000_000A.
template <arch::CpuidAccess C>
Result<SvmFeatures, VirtError> detect(C& cpu, u64 vm_cr, std::string_view& missing) {
    namespace f = arch::svm::feature;
    missing = {};
    if (!has_svm(cpu)) {
        missing = "SVM (CPUID Fn8000_0001 ECX[SVM])";
        return Err{VirtError::NotSupported};
    }
    if ((vm_cr & arch::svm::kVmCrSvmDisable) != 0) {
        missing = "SVM is switched off by firmware (VM_CR.SVMDIS)";
        return Err{VirtError::DisabledByFirmware};
    }
    arch::CpuidResult const leaf = cpu.cpuid(kSvmLeaf, 0);
    if ((leaf.edx & f::kNestedPaging) == 0) {
        missing = "nested paging (CPUID Fn8000_000A EDX[NP])";
        return Err{VirtError::NotSupported};
    }
    arch::CpuidResult const extended = cpu.cpuid(kExtendedLeaf, 0);
    if ((extended.edx & arch::svm::kCpuidPage1Gb) == 0) { // NestedMap::map() cannot say no
        missing = "1-Gbyte pages (CPUID Fn8000_0001 EDX[Page1GB])";
        return Err{VirtError::NotSupported};
    }
    constexpr u32 kFewestAsids = 2; // 0 is the host's
    if (leaf.ebx < kFewestAsids) {
        missing = "an address space identifier for guests (CPUID Fn8000_000A EBX[NASID])";
        return Err{VirtError::NotSupported};
    }
    // Who is told the operands must be told the length as well.
    constexpr u32 kMovAssists = f::kDecodeAssists | f::kNextRipSave;
    u32 const sizes = cpu.cpuid(kSizesLeaf, 0).ebx;
    return SvmFeatures{.next_rip_save = (leaf.edx & f::kNextRipSave) != 0,
                       .vmcb_clean = (leaf.edx & f::kVmcbClean) != 0,
                       .flush_by_asid = (leaf.edx & f::kFlushByAsid) != 0,
                       .decode_assists = (leaf.edx & kMovAssists) == kMovAssists,
                       .rdtscp = (extended.edx & arch::svm::kCpuidRdtscp) != 0,
                       .rdpru = Bits<4>::get(sizes) != 0,
                       .invlpgb = Bits<3>::get(sizes) != 0,
                       .mcommit = Bits<8>::get(sizes) != 0,
                       .asid_count = leaf.ebx};
}
} // namespace hv::svm
