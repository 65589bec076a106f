// SPDX-License-Identifier: Apache-2.0
#include "tests/firmware/start_loader.hpp"

#include "tests/firmware/processor.hpp"
#include <cstddef>

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
constexpr char16_t kLoaderPath[] = u"\\EFI\\BOOT\\BALLAST.EFI";

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

} // namespace

void check(EFI_STATUS status, std::string_view what) {
    if ((status & EFI_ERROR_MASK) != 0) give_up(what, status);
}

void start_loader(EFI_HANDLE self, EFI_BOOT_SERVICES& boot) {
    auto* const own = protocol_on<EFI_LOADED_IMAGE>(boot, self, EFI_LOADED_IMAGE_PROTOCOL_GUID);
    auto* const volume = protocol_on<EFI_DEVICE_PATH>(boot, own->DeviceHandle, EFI_DEVICE_PATH_PROTOCOL_GUID);
    EFI_HANDLE loader = nullptr;
    check(boot.LoadImage(FALSE, self, loader_path(boot, volume), nullptr, 0, &loader),
          "the loader cannot be loaded"sv);
    check(boot.StartImage(loader, nullptr, nullptr), "the loader has returned"sv);
}
} // namespace ballast::test_firmware
