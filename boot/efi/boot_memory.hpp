// SPDX-License-Identifier: Apache-2.0
// Memory from boot services, and the firmware's memory map. Pages are EfiLoaderData and are never given back:
// they carry what the hypervisor gets.
#pragma once
#include "boot/efi/efi_api.hpp"
#include "boot/efi/memory_map.hpp"
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
/// Zeroed, page-aligned memory of at least `bytes`; fails by name (`purpose`) when there is none.
std::span<std::byte> allocate(std::uint64_t bytes, std::string_view purpose);

/// The same, not zeroed: for a file that fills it.
std::span<std::byte> allocate_dirty(std::uint64_t bytes, std::string_view purpose);

/// The same, zeroed and 2 MiB aligned. The surplus goes back to the firmware.
std::span<std::byte> allocate_large_aligned(std::uint64_t bytes, std::string_view purpose);

/// One zeroed page below 640 KiB, for the code that other processors start in.
std::span<std::byte> allocate_trampoline();

inline std::uint64_t address_of(std::span<std::byte const> bytes) {
    return reinterpret_cast<std::uint64_t>(bytes.data());
}

/// The firmware's memory map, read into a buffer made once with room to grow: ExitBootServices needs the key
/// of a map that is still true, and allocating changes the map.
class FirmwareMap {
  public:
    FirmwareMap();

    /// Reads the map anew. @return the firmware's status.
    EFI_STATUS refresh();

    EfiDescriptors descriptors() const { return {buffer_.first(used_bytes_), stride_bytes_}; }
    UINTN key() const { return key_; }

  private:
    std::span<std::byte> buffer_;
    UINTN used_bytes_ = 0;
    UINTN stride_bytes_ = sizeof(EfiDescriptor);
    UINTN key_ = 0;
};
} // namespace ballast::loader
