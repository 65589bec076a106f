// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/screens.hpp"

#include <algorithm>

namespace ballast::loader {
namespace {
// Marks the handles whose text output is part of the console. Not in UEFI's text, but in every firmware built
// from EDK II.
constexpr EFI_GUID kConsoleOutDevice = {
    0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
constexpr std::uint32_t kUartPnpId = 0x050141d0; // EISA ID PNP0501: a 16550

enum class Where { Screen, Com1, Elsewhere };

/// A path through "ACPI PNP0501, unit 0" is COM1. A device without a path is the firmware's multiplexer, not
/// a device.
Where device_of(EFI_DEVICE_PATH* path) {
    if (path == nullptr) return Where::Elsewhere;
    for (; !IsDevicePathEnd(path); path = NextDevicePathNode(path)) {
        auto const bytes = static_cast<std::size_t>(DevicePathNodeLength(path));
        if (bytes < sizeof(EFI_DEVICE_PATH)) return Where::Elsewhere; // damaged: there is no next node
        if (DevicePathType(path) != ACPI_DEVICE_PATH || bytes < sizeof(ACPI_HID_DEVICE_PATH)) continue;
        auto const* const acpi = reinterpret_cast<ACPI_HID_DEVICE_PATH const*>(path);
        if (acpi->HID == kUartPnpId && acpi->UID == 0) return Where::Com1;
    }
    return Where::Screen;
}
} // namespace

void Screens::open() {
    EFI_GUID marker = kConsoleOutDevice;
    UINTN count = 0;
    EFI_HANDLE* handles = nullptr;
    bool com1_found = false;
    if (!failed(boot_services().LocateHandleBuffer(ByProtocol, &marker, nullptr, &count, &handles))) {
        for (UINTN i = 0; i < count; i++) {
            auto* const path = protocol_on<EFI_DEVICE_PATH>(handles[i], EFI_DEVICE_PATH_PROTOCOL_GUID);
            Where const where = device_of(path);
            com1_found |= where == Where::Com1;
            if (where == Where::Screen)
                add(protocol_on<SIMPLE_TEXT_OUTPUT_INTERFACE>(handles[i],
                                                              EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID));
        }
        boot_services().FreePool(handles);
    }
    // Firmware that does not mark its consoles: its own idea of the console, even if a line should then
    // appear twice.
    if (count_ == 0 && !com1_found) add(system_table->ConOut);
}

void Screens::add(SIMPLE_TEXT_OUTPUT_INTERFACE* screen) {
    if (screen != nullptr && count_ < screens_.size()) screens_[count_++] = screen;
}

void Screens::write(std::string_view text) {
    std::array<CHAR16, 64> wide;
    while (!text.empty()) {
        std::size_t const length = std::min(text.size(), wide.size() - 1);
        std::copy_n(text.begin(), length, wide.begin());
        wide[length] = 0;
        for (std::size_t i = 0; i < count_; i++)
            screens_[i]->OutputString(screens_[i], wide.data());
        text.remove_prefix(length);
    }
}
} // namespace ballast::loader
