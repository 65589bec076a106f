// SPDX-License-Identifier: Apache-2.0
// locked-off.EFI leaves the processor as firmware does whose set-up has virtualization off.
#include "tests/firmware/processor.hpp"
#include "tests/firmware/start_loader.hpp"
#include "tests/firmware/svm_lock.hpp"

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
constexpr std::uint32_t kIa32FeatureControl = 0x3a; // Intel SDM vol 4, "Architectural MSRs"
constexpr std::uint64_t kLock = 1;                  // and neither of the two bits that allow VMXON

void lock_vmx_off() {
    std::uint64_t const before = rdmsr(kIa32FeatureControl);
    if ((before & kLock) != 0) give_up("IA32_FEATURE_CONTROL is locked already"sv, before);
    wrmsr(kIa32FeatureControl, kLock);
    if (std::uint64_t const after = rdmsr(kIa32FeatureControl); after != kLock)
        give_up("IA32_FEATURE_CONTROL does not keep what is written"sv, after);
    say("IA32_FEATURE_CONTROL is locked without VMX"sv);
}

void lock_virtualization_off() {
    if ((cpuid(1).ecx & (1u << 5)) != 0)
        lock_vmx_off();
    else if (cpuid(0x8000'0000).eax >= 0x8000'000a && (cpuid(0x8000'0001).ecx & (1u << 2)) != 0)
        lock_svm_off();
    else
        give_up("the processor has neither VMX nor SVM to be switched off"sv, 0);
}
} // namespace
} // namespace ballast::test_firmware

/// Called by GNU-EFI's start-up code after it has applied the relocations.
extern "C" EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE* table) {
    using namespace ballast::test_firmware;
    lock_virtualization_off();
    start_loader(image, *table->BootServices);
    return EFI_SUCCESS;
}
