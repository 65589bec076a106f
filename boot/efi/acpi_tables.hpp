// SPDX-License-Identifier: Apache-2.0
// Finds ACPI tables from the RSDP. Tables are firmware's data: each signature, length and checksum is checked
// before the content is used, and a bad table is as good as none. Pure: physical memory comes in as a
// function; host-compiled and unit-tested.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
/// Bytes of physical memory, or an empty span where they cannot be read.
using PhysicalView = std::span<std::byte const> (*)(std::uint64_t base, std::uint64_t bytes);

/// Length of the header every table starts with. Source: ACPI 6.5 §5.2.6, System Description Table Header.
inline constexpr std::size_t kAcpiHeaderBytes = 36;

/// The whole table named `signature` (four letters) that the RSDP's XSDT, or else RSDT, lists; empty when
/// there is none or it is damaged.
std::span<std::byte const> find_acpi_table(PhysicalView view, std::uint64_t rsdp, std::string_view signature);

/// Little-endian number at `offset`; the caller has checked that it lies inside.
template <class T>
T read_le(std::span<std::byte const> bytes, std::size_t offset) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); i++)
        value = static_cast<T>(value | static_cast<T>(static_cast<T>(bytes[offset + i]) << (8 * i)));
    return value;
}

/// Calls visit(type, entry) for each type-length-value entry of `table` from `offset` on; `entry` is the
/// whole entry. Stops at the first entry whose length is wrong. Source: ACPI 6.5 §5.2.12 (MADT) and §5.2.16
/// (SRAT).
template <class Visit>
void for_each_entry(std::span<std::byte const> table, std::size_t offset, Visit const& visit) {
    while (offset + 2 <= table.size()) {
        auto const type = read_le<std::uint8_t>(table, offset);
        auto const length = read_le<std::uint8_t>(table, offset + 1);
        if (length < 2 || length > table.size() - offset) return;
        visit(type, table.subspan(offset, length));
        offset += length;
    }
}
} // namespace ballast::loader
