// SPDX-License-Identifier: Apache-2.0
// Turns the firmware's memory descriptors into the hand-over's ranges: sorted, disjoint, merged, and with the
// loader's own allocations painted in. Firmware that describes a page twice is believed in the stricter
// sense. Pure: host-compiled and unit-tested.
#pragma once
#include "boot/handoff/boot_info.hpp"
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace ballast::loader {
/// EFI_MEMORY_DESCRIPTOR. Source: UEFI 2.10 §7.2, EFI_BOOT_SERVICES.GetMemoryMap().
struct EfiDescriptor {
    std::uint32_t type;
    std::uint32_t padding;
    std::uint64_t physical_start;
    std::uint64_t virtual_start;
    std::uint64_t pages; ///< of 4 KiB
    std::uint64_t attribute;
};
static_assert(sizeof(EfiDescriptor) == 40);

/// The raw table as GetMemoryMap leaves it; `stride_bytes` may be larger than the structure that we know.
struct EfiDescriptors {
    std::span<std::byte const> bytes;
    std::size_t stride_bytes;

    std::size_t count() const {
        return stride_bytes < sizeof(EfiDescriptor) ? 0 : bytes.size() / stride_bytes;
    }
    EfiDescriptor at(std::size_t index) const;
};

/// What the hypervisor may do with memory of an EFI type once boot services are gone. Unknown types are
/// Firmware.
handoff::MemoryKind kind_of_efi_type(std::uint32_t type);

/// First address past all RAM (ACPI tables and runtime services included); reserved ranges and MMIO do not
/// count, because firmware reports such ranges far above the RAM.
std::uint64_t end_of_ram(EfiDescriptors descriptors);

/// A range list in the making. Later paint covers earlier paint.
class MemoryMap {
  public:
    /// Adds a whole firmware map: Usable and Loader first, then stricter kinds over them.
    void paint(EfiDescriptors descriptors);

    /// Makes [base, base + bytes), widened to whole pages, be of `kind`. Nothing happens for zero bytes.
    void paint(std::uint64_t base, std::uint64_t bytes, handoff::MemoryKind kind);

    std::span<handoff::MemoryRange const> ranges() const { return {ranges_.data(), count_}; }

    /// RAM that the hypervisor gets, in bytes: Usable, Loader and Image.
    std::uint64_t usable_bytes() const;

    /// Copies the list to `out`. A list that is too long loses its smallest Usable ranges, the least harmful
    /// loss.
    /// @return ranges written, or nothing when ranges that must not be lost do not fit.
    std::optional<std::uint32_t> write_to(std::span<handoff::MemoryRange> out);

    /// True when there were more ranges than can be tracked: the list is then incomplete.
    bool overflowed() const { return overflowed_; }

  private:
    void insert(std::size_t at, handoff::MemoryRange range);
    void remove(std::size_t at);
    void merge();

    static constexpr std::size_t kCapacity = 4 * handoff::kMaxMemoryRanges;
    std::array<handoff::MemoryRange, kCapacity> ranges_{};
    std::size_t count_ = 0;
    bool overflowed_ = false;
};
} // namespace ballast::loader
