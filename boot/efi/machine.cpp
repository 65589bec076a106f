// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/machine.hpp"

#include "boot/efi/acpi_tables.hpp"
#include "boot/efi/calendar.hpp"
#include "boot/efi/console.hpp"
#include "boot/efi/mp_services.hpp"
#include <cstring>

namespace ballast::loader {
namespace {
bool same_guid(EFI_GUID const& a, EFI_GUID const& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

std::uint64_t configuration_table(EFI_GUID const& guid) {
    for (UINTN i = 0; i < system_table->NumberOfTableEntries; i++)
        if (same_guid(system_table->ConfigurationTable[i].VendorGuid, guid))
            return reinterpret_cast<std::uint64_t>(system_table->ConfigurationTable[i].VendorTable);
    return 0;
}

/// Boot services run under a one-to-one map of all memory (UEFI 2.10 §2.3.4, x64 Platforms).
std::span<std::byte const> view_physical(std::uint64_t base, std::uint64_t bytes) {
    if (base == 0 || base > ~bytes) return {};
    return {reinterpret_cast<std::byte const*>(base), bytes};
}
} // namespace

std::uint64_t find_rsdp() {
    constexpr EFI_GUID kAcpi2 = ACPI_20_TABLE_GUID;
    constexpr EFI_GUID kAcpi1 = ACPI_TABLE_GUID;
    std::uint64_t const rsdp = configuration_table(kAcpi2);
    return rsdp != 0 ? rsdp : configuration_table(kAcpi1);
}

std::span<std::byte const> acpi_table(std::uint64_t rsdp, std::string_view signature) {
    return rsdp == 0 ? std::span<std::byte const>{} : find_acpi_table(view_physical, rsdp, signature);
}

void find_cpus(std::uint64_t rsdp, CpuSet& cpus) {
    if (auto* const services = locate_protocol<MpServices>(kMpServicesGuid); services != nullptr) {
        UINTN total = 0, enabled = 0;
        if (failed(services->get_number_of_processors(services, &total, &enabled))) total = 0;
        for (UINTN number = 0; number < total; number++) {
            ProcessorInformation information{};
            if (failed(services->get_processor_info(services, number, &information))) continue;
            auto const apic_id = static_cast<std::uint32_t>(information.processor_id);
            constexpr UINT32 kUsable = kProcessorEnabled | kProcessorHealthy;
            if ((information.status_flags & kUsable) == kUsable)
                cpus.add(apic_id);
            else
                cpus.exclude(apic_id);
        }
    }
    add_madt_cpus(acpi_table(rsdp, "APIC"), cpus);
    if (cpus.dropped() != 0)
        say("warning: ", cpus.dropped(), " processors are left idle: Ballast uses at most ",
            handoff::kMaxCpus);
}

std::uint64_t wall_clock_seconds() {
    EFI_TIME time{};
    if (failed(system_table->RuntimeServices->GetTime(&time, nullptr))) return 0;
    return epoch_seconds(
        {time.Year, time.Month, time.Day, time.Hour, time.Minute, time.Second, time.TimeZone});
}
} // namespace ballast::loader
