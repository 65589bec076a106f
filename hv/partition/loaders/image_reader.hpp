// SPDX-License-Identifier: Apache-2.0
// Shared by the loaders: bounds-checked reads of an image file, places in guest RAM.
#pragma once
#include "hv/partition/loaders/loader.hpp"
#include <cstring>

namespace hv::partition {
/// Low guest memory used by all loaders, below any kernel.
inline constexpr Gpa kGdt{0x1000};
inline constexpr Gpa kBootInfo{0x2000};    ///< zero page, start_info or multiboot information, one page
inline constexpr Gpa kTables{0x3000};      ///< module lists and memory maps, one page
inline constexpr Gpa kCommandLine{0x4000}; ///< one page
inline constexpr Gpa kPageTables{0x5000};  ///< PML4, PDPT, 4 page directories: 24 KiB
inline constexpr Gpa kFirstMib{1 * MiB};

template <class T>
Result<T, LoadError> read_image(std::span<u8 const> image, u64 offset) {
    T value;
    if (offset > image.size() || image.size() - offset < sizeof value) {
        return Err{LoadError::Damaged};
    }
    std::memcpy(&value, image.data() + offset, sizeof value);
    return value;
}

/// The part [offset, offset + bytes) of an image, or Damaged.
inline Result<std::span<u8 const>, LoadError> part(std::span<u8 const> image, u64 offset, u64 bytes) {
    if (offset > image.size() || image.size() - offset < bytes) {
        return Err{LoadError::Damaged};
    }
    return image.subspan(offset, bytes);
}

template <class T>
Result<void, LoadError> put(GuestAccess& memory, Gpa at, T const& value) {
    if (!store(memory, at, value)) {
        return Err{LoadError::GuestMemory};
    }
    return {};
}
Result<void, LoadError> put_bytes(GuestAccess& memory, Gpa at, std::span<u8 const> bytes);
Result<void, LoadError> put_zeros(GuestAccess& memory, Gpa at, u64 bytes);

/// Whether [base, base + bytes) lies in one RAM range of the map.
bool in_ram(std::span<MemoryMapEntry const> map, u64 base, u64 bytes);
/// The highest page-aligned place for @p bytes in RAM below @p below and at or above @p floor, or DoesNotFit.
Result<Gpa, LoadError> place_high(std::span<MemoryMapEntry const> map, u64 bytes, u64 floor, u64 below);

/// Writes the four flat descriptors at kGdt. @param long_mode 64-bit code, otherwise 32-bit
Result<void, LoadError> put_gdt(GuestAccess& memory, bool long_mode);
/// Writes the command line at kCommandLine. @param longest without the NUL
Result<void, LoadError> put_command_line(GuestAccess& memory, std::string_view text, u64 longest);
} // namespace hv::partition
