// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/cpu_set.hpp"

#include "boot/efi/acpi_tables.hpp"
#include <algorithm>

namespace ballast::loader {
namespace {
constexpr std::size_t kMadtEntries = kAcpiHeaderBytes + 8;
constexpr std::uint8_t kLocalApic = 0;
constexpr std::uint8_t kLocalX2Apic = 9;
constexpr std::uint32_t kEnabled = 1;

bool contains(std::span<std::uint32_t const> ids, std::uint32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}
} // namespace

void CpuSet::add(std::uint32_t apic_id) {
    if (contains(apic_ids(), apic_id) || contains({excluded_.data(), excluded_count_}, apic_id)) return;
    if (count_ == ids_.size()) {
        dropped_++;
        return;
    }
    ids_[count_++] = apic_id;
}

void CpuSet::exclude(std::uint32_t apic_id) {
    if (apic_id == ids_[0] || excluded_count_ == excluded_.size()) return;
    excluded_[excluded_count_++] = apic_id;
    auto* const end = ids_.data() + count_;
    count_ = static_cast<std::size_t>(std::remove(ids_.data(), end, apic_id) - ids_.data());
}

void add_madt_cpus(std::span<std::byte const> madt, CpuSet& cpus) {
    for_each_entry(madt, kMadtEntries, [&](std::uint8_t type, std::span<std::byte const> entry) {
        if (type == kLocalApic && entry.size() >= 8 && (read_le<std::uint32_t>(entry, 4) & kEnabled) != 0)
            cpus.add(read_le<std::uint8_t>(entry, 3));
        if (type == kLocalX2Apic && entry.size() >= 16 && (read_le<std::uint32_t>(entry, 8) & kEnabled) != 0)
            cpus.add(read_le<std::uint32_t>(entry, 4));
    });
}
} // namespace ballast::loader
