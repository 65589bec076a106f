// SPDX-License-Identifier: Apache-2.0
// locked-off.EFI takes the loader's place as \EFI\BOOT\BOOTX64.EFI. It leaves the processor as firmware does
// whose set-up has virtualization off, and starts the loader, \EFI\BOOT\BALLAST.EFI of the same volume, as
// the firmware would have.
#include "tests/firmware/processor.hpp"
#include "tests/firmware/svm_lock.hpp"
#include <cstddef>
extern "C" {
#include <efi.h>
}

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
constexpr char16_t kLoaderPath[] = u"\\EFI\\BOOT\\BALLAST.EFI";

constexpr std::uint32_t kIa32FeatureControl = 0x3a; // Intel SDM vol 4, "Architectural MSRs"
constexpr std::uint64_t kLock = 1;                  // and neither of the two bits that allow VMXON

void check(EFI_STATUS status, std::string_view what) {
    if ((status & EFI_ERROR_MASK) != 0) give_up(what, status);
}

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

template <class Protocol>
Protocol* protocol_on(EFI_BOOT_SERVICES& boot, EFI_HANDLE handle, EFI_GUID guid) {
    void* interface = nullptr;
    check(boot.HandleProtocol(handle, &guid, &interface), "a protocol is missing"sv);
    return static_cast<Protocol*>(interface);
}

/// Makes the device path of the loader's file: the path of the volume, a file node, the end.
/// Source: UEFI 2.10 §10.3, "Device Path Nodes", and §10.3.5.4, "File Path Media Device Path".
EFI_DEVICE_PATH* loader_path(EFI_BOOT_SERVICES& boot, EFI_DEVICE_PATH* volume) {
    EFI_DEVICE_PATH* end = volume;
    while (!IsDevicePathEnd(end))
        end = NextDevicePathNode(end);
    auto const volume_bytes =
        static_cast<UINTN>(reinterpret_cast<std::byte*>(end) - reinterpret_cast<std::byte*>(volume));
    constexpr UINTN kNodeBytes = sizeof(EFI_DEVICE_PATH) + sizeof kLoaderPath;
    void* memory = nullptr;
    check(boot.AllocatePool(EfiLoaderData, volume_bytes + kNodeBytes + sizeof(EFI_DEVICE_PATH), &memory),
          "no memory for a device path"sv);
    auto* const bytes = static_cast<std::byte*>(memory);
    boot.CopyMem(bytes, volume, volume_bytes);
    auto* const node = reinterpret_cast<EFI_DEVICE_PATH*>(bytes + volume_bytes);
    node->Type = MEDIA_DEVICE_PATH;
    node->SubType = MEDIA_FILEPATH_DP;
    SetDevicePathNodeLength(node, kNodeBytes);
    boot.CopyMem(node + 1, const_cast<char16_t*>(kLoaderPath), sizeof kLoaderPath);
    EFI_DEVICE_PATH* const last = NextDevicePathNode(node);
    SetDevicePathEndNode(last);
    return reinterpret_cast<EFI_DEVICE_PATH*>(bytes);
}

void start_loader(EFI_HANDLE self, EFI_BOOT_SERVICES& boot) {
    auto* const own = protocol_on<EFI_LOADED_IMAGE>(boot, self, EFI_LOADED_IMAGE_PROTOCOL_GUID);
    auto* const volume = protocol_on<EFI_DEVICE_PATH>(boot, own->DeviceHandle, EFI_DEVICE_PATH_PROTOCOL_GUID);
    EFI_HANDLE loader = nullptr;
    check(boot.LoadImage(FALSE, self, loader_path(boot, volume), nullptr, 0, &loader),
          "the loader cannot be loaded"sv);
    check(boot.StartImage(loader, nullptr, nullptr), "the loader has returned"sv);
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
