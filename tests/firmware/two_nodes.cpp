// SPDX-License-Identifier: Apache-2.0
// two-nodes.EFI describes the machine's memory as that of two NUMA nodes, in the ACPI tables that the real
// firmware has (QEMU's) or in the first there are (Bochs).
#include "tests/firmware/processor.hpp"
#include "tests/firmware/start_loader.hpp"
#include <cstddef>
#include <cstring>
#include <new>

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// The order of the domains is not that of the addresses, their numbers have gaps, and the processor is in one
// without memory, as it is beside empty slots: nothing can be right by accident.
constexpr u8 kProcessorDomain = 1;
constexpr u32 kHighDomain = 3, kLowDomain = 0x801;
constexpr u64 kCut = 2u << 20; ///< the border is a multiple of this

/// ACPI 6.5 §5.2.5.3, RSDP structure.
struct [[gnu::packed]] Rsdp {
    char signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
    u8 checksum = 0; ///< of the 20 bytes of ACPI 1.0
    char oem_id[6] = {'B', 'A', 'L', 'L', 'S', 'T'};
    u8 revision = 2;
    u32 rsdt = 0;
    u32 bytes = 36;
    u64 xsdt = 0;
    u8 extended_checksum = 0; ///< of all
    u8 reserved[3] = {};
};
static_assert(sizeof(Rsdp) == 36);

/// ACPI 6.5 §5.2.6, System Description Table Header.
struct [[gnu::packed]] Header {
    char signature[4];
    u32 bytes;
    u8 revision;
    u8 checksum = 0;
    char oem_id[6] = {'B', 'A', 'L', 'L', 'S', 'T'};
    char oem_table_id[8] = {'T', 'W', 'O', 'N', 'O', 'D', 'E', 'S'};
    u32 oem_revision = 1;
    char creator_id[4] = {'B', 'L', 'S', 'T'};
    u32 creator_revision = 1;
};
static_assert(sizeof(Header) == 36);

/// ACPI 6.5 §5.2.16.1, Processor Local APIC/SAPIC Affinity Structure.
struct [[gnu::packed]] ProcessorAffinity {
    u8 type = 0, bytes = 16;
    u8 domain_low;
    u8 apic_id;
    u32 flags = 1; ///< enabled
    u8 sapic_eid = 0;
    u8 domain_high[3] = {};
    u32 clock_domain = 0;
};
static_assert(sizeof(ProcessorAffinity) == 16);

/// ACPI 6.5 §5.2.16.2, Memory Affinity Structure.
struct [[gnu::packed]] MemoryAffinity {
    u8 type = 1, bytes = 40;
    u32 domain;
    u16 reserved_6 = 0;
    u64 base, length;
    u32 reserved_24 = 0;
    u32 flags = 1; ///< enabled
    u64 reserved_32 = 0;
};
static_assert(sizeof(MemoryAffinity) == 40);

/// ACPI 6.5 §5.2.16, System Resource Affinity Table.
struct [[gnu::packed]] Srat {
    Header header{.signature = {'S', 'R', 'A', 'T'}, .bytes = sizeof(Srat), .revision = 3};
    u32 reserved_36 = 1;
    u64 reserved_40 = 0;
    ProcessorAffinity processor;
    MemoryAffinity memory[2];
};

/// ACPI 6.5 §5.2.8, Extended System Description Table.
struct [[gnu::packed]] Xsdt {
    static constexpr u32 kRoom = 64;
    Header header{.signature = {'X', 'S', 'D', 'T'}, .bytes = sizeof(Header), .revision = 1};
    u64 tables[kRoom];

    void add(u64 table) {
        if (header.bytes == sizeof(Xsdt)) give_up("too many ACPI tables"sv, kRoom);
        tables[(header.bytes - sizeof(Header)) / sizeof(u64)] = table;
        header.bytes += sizeof(u64);
    }
};

/// All that is published; it begins at a page.
struct Published {
    Rsdp rsdp;
    Srat srat;
    Xsdt xsdt;
};
static_assert(sizeof(Published) <= EFI_PAGE_SIZE);

/// What to add to the bytes for their sum to be 0.
u8 missing_to_zero(void const* object, u32 bytes) {
    u8 sum = 0;
    for (u32 i = 0; i < bytes; i++)
        sum = static_cast<u8>(sum + static_cast<u8 const*>(object)[i]);
    return static_cast<u8>(-sum);
}

void seal(Header& table) {
    table.checksum = missing_to_zero(&table, table.bytes);
}

u64 address_of(void const* object) {
    return reinterpret_cast<u64>(object); // boot services run with memory mapped one to one
}

/// UEFI 2.10 §7.2, EFI_BOOT_SERVICES.GetMemoryMap(): everything but reserved, unusable and device memory.
bool is_ram(u32 type) {
    return (type >= EfiLoaderCode && type <= EfiConventionalMemory) || type == EfiACPIReclaimMemory ||
           type == EfiACPIMemoryNVS;
}

u64 end_of_ram(EFI_BOOT_SERVICES& boot) {
    alignas(EFI_MEMORY_DESCRIPTOR) static std::byte map[32 << 10];
    UINTN bytes = sizeof map, key = 0, stride = 0;
    UINT32 version = 0;
    check(boot.GetMemoryMap(&bytes, reinterpret_cast<EFI_MEMORY_DESCRIPTOR*>(map), &key, &stride, &version),
          "the memory map cannot be read"sv);
    u64 end = 0;
    for (UINTN at = 0; at + stride <= bytes; at += stride) {
        auto const& part = *reinterpret_cast<EFI_MEMORY_DESCRIPTOR const*>(map + at);
        u64 const end_of_part = part.PhysicalStart + part.NumberOfPages * EFI_PAGE_SIZE;
        if (is_ram(part.Type) && end_of_part > end) end = end_of_part;
    }
    return end;
}

/// The XSDT that the firmware has published, or nullptr.
Xsdt const* published_xsdt(EFI_SYSTEM_TABLE const& system, EFI_GUID const& guid) {
    for (UINTN i = 0; i < system.NumberOfTableEntries; i++) {
        EFI_CONFIGURATION_TABLE const& entry = system.ConfigurationTable[i];
        if (std::memcmp(&entry.VendorGuid, &guid, sizeof guid) == 0)
            return reinterpret_cast<Xsdt const*>(static_cast<Rsdp const*>(entry.VendorTable)->xsdt);
    }
    return nullptr;
}

void describe_two_nodes(EFI_SYSTEM_TABLE& system) {
    EFI_BOOT_SERVICES& boot = *system.BootServices;
    EFI_PHYSICAL_ADDRESS page = 0;
    check(boot.AllocatePages(AllocateAnyPages, EfiACPIReclaimMemory, 1, &page), "no memory for tables"sv);
    u64 const end = end_of_ram(boot), border = end / 2 / kCut * kCut;
    auto const apic_id = static_cast<u8>(cpuid(1).ebx >> 24);

    auto& made = *new (reinterpret_cast<void*>(page)) Published{
        .rsdp = {},
        .srat = {.processor = {.domain_low = kProcessorDomain, .apic_id = apic_id},
                 .memory = {{.domain = kLowDomain, .base = 0, .length = border},
                            {.domain = kHighDomain, .base = border, .length = end - border}}},
        .xsdt = {},
    };
    seal(made.srat.header);
    made.xsdt.add(address_of(&made.srat));
    EFI_GUID guid = ACPI_20_TABLE_GUID;
    if (Xsdt const* const old = published_xsdt(system, guid); old != nullptr) {
        for (u32 i = 0; i < (old->header.bytes - sizeof(Header)) / sizeof(u64); i++) {
            auto const* const table = reinterpret_cast<Header const*>(old->tables[i]);
            if (std::string_view{table->signature, 4} == "SRAT"sv)
                give_up("the firmware has an SRAT already"sv, old->tables[i]);
            made.xsdt.add(old->tables[i]);
        }
    }
    seal(made.xsdt.header);
    made.rsdp.xsdt = address_of(&made.xsdt);
    made.rsdp.checksum = missing_to_zero(&made.rsdp, offsetof(Rsdp, bytes));
    made.rsdp.extended_checksum = missing_to_zero(&made.rsdp, sizeof made.rsdp);
    check(boot.InstallConfigurationTable(&guid, &made.rsdp), "the tables cannot be published"sv);
    say("the SRAT has two nodes with memory"sv);
}
} // namespace
} // namespace ballast::test_firmware

/// Called by GNU-EFI's start-up code after it has applied the relocations.
extern "C" EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE* table) {
    using namespace ballast::test_firmware;
    describe_two_nodes(*table);
    start_loader(image, *table->BootServices);
    return EFI_SUCCESS;
}
