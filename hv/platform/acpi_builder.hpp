// SPDX-License-Identifier: Apache-2.0
// The ACPI tables a guest boots with: RSDP, XSDT, FADT, FACS, DSDT, MADT and, when nodes matter, SRAT.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/base/result.hpp"
#include <span>

namespace hv::platform {
/// A stretch of guest-physical memory and the node it belongs to, for SRAT.
struct AcpiMemoryRange {
    Gpa base;
    u64 bytes;
    u32 node;
    bool hot_plug; ///< not there at boot: the hot-add window
};

struct AcpiConfig {
    Gpa base{0xe'0000};  ///< of the first table, the RSDP; 64-byte aligned, below 4 GiB
    u32 processors = 1;  ///< APIC IDs 0 … processors - 1
    bool com1 = true;    ///< describe the UART at 3f8h, IRQ 4
    u32 mmio32_base = 0; ///< window of \_SB.VMOD below 4 GiB; 0 bytes: none
    u32 mmio32_bytes = 0;
    u64 mmio64_base = 0; ///< and above; neither may overlap memory, present or hot-added
    u64 mmio64_bytes = 0;
    /// Empty: no SRAT. Otherwise all RAM, present and future. Processors belong to node 0.
    std::span<AcpiMemoryRange const> memory{};
};

enum class AcpiError : u8 {
    NoRoom, ///< the tables are larger than the buffer
};

struct AcpiTables {
    Gpa rsdp;
    u64 bytes; ///< used from config.base; report the range as ACPI data (e820 type 3)
};

/// Writes the tables as they must lie at config.base. Pure; does not allocate.
/// Shape: non-hardware-reduced revision 6.2, no 8042, no VGA, RTC present, \_S5 but no \_S4 (which would
/// disable Dynamic Memory). Source: ACPI 6.4, chapter 5 "ACPI software programming model".
Result<AcpiTables, AcpiError> build_acpi(std::span<u8> out, AcpiConfig const&);
} // namespace hv::platform
