// SPDX-License-Identifier: Apache-2.0
// The machine's processors, gathered from EFI's MP services and from the MADT: firmware has one, the other,
// or both. Pure: host-compiled and unit-tested.
#pragma once
#include "boot/handoff/boot_info.hpp"
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ballast::loader {
class CpuSet {
  public:
    /// Starts with the boot processor, which is always first.
    explicit CpuSet(std::uint32_t boot_apic_id) { add(boot_apic_id); }

    /// Adds a processor; one that is there already, or was excluded, is not added again.
    void add(std::uint32_t apic_id);

    /// The firmware itself does not use this processor (disabled or unhealthy): it stays out. Never the boot
    /// processor.
    void exclude(std::uint32_t apic_id);

    std::span<std::uint32_t const> apic_ids() const { return {ids_.data(), count_}; }

    /// Processors that were left out because the hand-over has no room for more than kMaxCpus.
    std::uint32_t dropped() const { return dropped_; }

  private:
    std::array<std::uint32_t, handoff::kMaxCpus> ids_{};
    std::array<std::uint32_t, handoff::kMaxCpus> excluded_{};
    std::size_t count_ = 0;
    std::size_t excluded_count_ = 0;
    std::uint32_t dropped_ = 0;
};

/// Adds each processor that the MADT calls enabled. Source: ACPI 6.5 §5.2.12.2 and §5.2.12.12.
void add_madt_cpus(std::span<std::byte const> madt, CpuSet& cpus);
} // namespace ballast::loader
