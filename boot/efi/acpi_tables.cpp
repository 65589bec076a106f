// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/acpi_tables.hpp"

namespace ballast::loader {
namespace {
// ACPI 6.5 §5.2.5.3, RSDP structure.
constexpr std::size_t kRsdp1Bytes = 20;
constexpr std::size_t kRsdp2Bytes = 36;
constexpr std::size_t kRsdpRevision = 15;
constexpr std::size_t kRsdpRsdt = 16;
constexpr std::size_t kRsdpXsdt = 24;
constexpr std::uint64_t kMaxTableBytes = 4ull << 20;

bool checksum_ok(std::span<std::byte const> bytes) {
    std::uint8_t sum = 0;
    for (std::byte const byte : bytes)
        sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(byte));
    return sum == 0;
}

bool starts_with(std::span<std::byte const> bytes, std::string_view text) {
    if (bytes.size() < text.size()) return false;
    for (std::size_t i = 0; i < text.size(); i++)
        if (static_cast<char>(bytes[i]) != text[i]) return false;
    return true;
}

/// The checked table at `base`, or an empty span. A table of another name is not read past its header.
std::span<std::byte const> table_at(PhysicalView view, std::uint64_t base, std::string_view signature) {
    auto const header = view(base, kAcpiHeaderBytes);
    if (header.size() < kAcpiHeaderBytes || !starts_with(header, signature)) return {};
    auto const length = read_le<std::uint32_t>(header, 4);
    if (length < kAcpiHeaderBytes || length > kMaxTableBytes) return {};
    auto const table = view(base, length);
    return table.size() == length && checksum_ok(table) ? table : std::span<std::byte const>{};
}

template <class Address>
std::span<std::byte const> find_in(PhysicalView view, std::span<std::byte const> list,
                                   std::string_view signature) {
    for (std::size_t at = kAcpiHeaderBytes; at + sizeof(Address) <= list.size(); at += sizeof(Address))
        if (auto const table = table_at(view, read_le<Address>(list, at), signature); !table.empty())
            return table;
    return {};
}
} // namespace

std::span<std::byte const> find_acpi_table(PhysicalView view, std::uint64_t rsdp,
                                           std::string_view signature) {
    auto const old_pointer = view(rsdp, kRsdp1Bytes);
    if (old_pointer.size() < kRsdp1Bytes || !starts_with(old_pointer, "RSD PTR ") ||
        !checksum_ok(old_pointer))
        return {};
    if (read_le<std::uint8_t>(old_pointer, kRsdpRevision) >= 2) {
        auto const pointer = view(rsdp, kRsdp2Bytes);
        if (pointer.size() == kRsdp2Bytes && checksum_ok(pointer)) {
            auto const list = table_at(view, read_le<std::uint64_t>(pointer, kRsdpXsdt), "XSDT");
            if (!list.empty()) return find_in<std::uint64_t>(view, list, signature);
        }
    }
    auto const list = table_at(view, read_le<std::uint32_t>(old_pointer, kRsdpRsdt), "RSDT");
    return find_in<std::uint32_t>(view, list, signature);
}
} // namespace ballast::loader
