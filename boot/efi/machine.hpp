// SPDX-License-Identifier: Apache-2.0
// What the firmware knows about the machine: ACPI's root pointer, the processors, the NUMA nodes and the wall
// clock. Everything here needs boot services.
#pragma once
#include "boot/efi/cpu_set.hpp"
#include "boot/efi/efi_api.hpp"
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
/// Physical address of the ACPI 2.0 RSDP, else of the 1.0 one, else 0.
std::uint64_t find_rsdp();

/// The ACPI table named `signature`, or an empty span.
std::span<std::byte const> acpi_table(std::uint64_t rsdp, std::string_view signature);

/// All processors, the boot processor first: those of EFI's MP services and of the MADT, whichever there is.
void find_cpus(std::uint64_t rsdp, CpuSet& cpus);

/// Seconds since 1970 UTC, 0 when the firmware has no usable clock.
std::uint64_t wall_clock_seconds();
} // namespace ballast::loader
