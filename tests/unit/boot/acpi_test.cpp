// SPDX-License-Identifier: Apache-2.0
// ACPI as the loader reads it: RSDP to table, MADT to processors, SRAT to nodes; damaged tables are as good
// as none.
#include "boot/efi/acpi_tables.hpp"
#include "boot/efi/cpu_set.hpp"
#include "boot/efi/numa.hpp"
#include "bytes.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <memory>

using namespace ballast::loader;
using ballast::handoff::NodeRange;

namespace {
/// Physical memory: tables at chosen addresses, nothing between them.
std::map<std::uint64_t, std::vector<std::byte>> physical;

std::span<std::byte const> view(std::uint64_t base, std::uint64_t bytes) {
    auto const at = physical.find(base);
    if (at == physical.end() || at->second.size() < bytes) return {};
    return std::span{at->second}.first(bytes);
}

Bytes rsdp(std::uint8_t revision, std::uint32_t rsdt, std::uint64_t xsdt) {
    Bytes pointer;
    pointer.text("RSD PTR ").u8(0).text("BALLST").u8(revision).u32(rsdt).u32(36).u64(xsdt).u8(0).zeros(3);
    pointer.fix_checksum(8, 20);
    pointer.fix_checksum(32, 36);
    return pointer;
}

/// RSDP at 0x1000, RSDT at 0x2000, XSDT at 0x3000, MADT at 0x4000, SRAT at 0x5000 (only the XSDT lists it).
void lay_out(std::uint8_t revision) {
    physical.clear();
    physical[0x1000] = rsdp(revision, 0x2000, 0x3000).data();
    physical[0x2000] = acpi_table_of("RSDT", Bytes{}.u32(0x4000)).data();
    physical[0x3000] = acpi_table_of("XSDT", Bytes{}.u64(0x9999).u64(0x4000).u64(0x5000)).data();
    physical[0x4000] = acpi_table_of("APIC", Bytes{}.zeros(8)).data();
    physical[0x5000] = acpi_table_of("SRAT", Bytes{}.zeros(12)).data();
}

Bytes local_apic(std::uint8_t id, std::uint32_t flags) {
    return Bytes{}.u8(0).u8(8).u8(0).u8(id).u32(flags);
}
Bytes local_x2apic(std::uint32_t id, std::uint32_t flags) {
    return Bytes{}.u8(9).u8(16).u16(0).u32(id).u32(flags).u32(0);
}
Bytes cpu_affinity(std::uint8_t id, std::uint32_t domain, std::uint32_t flags = 1) {
    return Bytes{}
        .u8(0)
        .u8(16)
        .u8(domain & 0xff)
        .u8(id)
        .u32(flags)
        .u8(0)
        .u8(domain >> 8)
        .u8(domain >> 16)
        .u8(domain >> 24)
        .u32(0);
}
Bytes x2apic_affinity(std::uint32_t id, std::uint32_t domain) {
    return Bytes{}.u8(2).u8(24).u16(0).u32(domain).u32(id).u32(1).u32(0).u32(0);
}
Bytes memory_affinity(std::uint64_t base, std::uint64_t bytes, std::uint32_t domain,
                      std::uint32_t flags = 1) {
    return Bytes{}.u8(1).u8(40).u32(domain).u16(0).u64(base).u64(bytes).u32(0).u32(flags).u64(0);
}

Bytes srat(std::vector<Bytes> const& entries) {
    Bytes body;
    body.zeros(12);
    for (Bytes const& entry : entries)
        body.append(entry);
    return acpi_table_of("SRAT", body);
}

std::vector<std::uint32_t> ids(CpuSet const& cpus) {
    return {cpus.apic_ids().begin(), cpus.apic_ids().end()};
}
} // namespace

TEST_CASE("tables are found through the XSDT, or the RSDT of ACPI 1.0", "[boot][acpi]") {
    lay_out(2);
    CHECK(find_acpi_table(view, 0x1000, "SRAT").size() == 48);
    CHECK(find_acpi_table(view, 0x1000, "APIC").size() == 44);
    CHECK(find_acpi_table(view, 0x1000, "SLIT").empty());
    lay_out(0);
    CHECK(find_acpi_table(view, 0x1000, "APIC").size() == 44);
    CHECK(find_acpi_table(view, 0x1000, "SRAT").empty());
}

TEST_CASE("a damaged link of the chain is as good as none", "[boot][acpi]") {
    lay_out(2);
    SECTION("RSDP checksum") {
        physical[0x1000][9] ^= std::byte{1};
    }
    SECTION("RSDP signature") {
        physical[0x1000][0] = std::byte{'X'};
    }
    SECTION("RSDP not there") {
        physical.erase(0x1000);
    }
    SECTION("table checksum") {
        physical[0x5000][40] ^= std::byte{1};
    }
    SECTION("table length too small") {
        physical[0x5000][4] = std::byte{35};
    }
    SECTION("table length too large") {
        physical[0x5000][7] = std::byte{0x7f};
    }
    SECTION("XSDT checksum: only the RSDT is left, and it lacks the table") {
        physical[0x3000][9] ^= std::byte{1};
    }
    CHECK(find_acpi_table(view, 0x1000, "SRAT").empty());
}

TEST_CASE("processors come from MP services and MADT together", "[boot][cpus]") {
    Bytes body;
    body.zeros(8)
        .append(local_apic(0, 1))
        .append(local_apic(2, 1))
        .append(local_apic(3, 0))
        .append(local_apic(4, 2));
    body.append(Bytes{}.u8(1).u8(12).zeros(10)).append(local_x2apic(300, 1)).append(local_apic(5, 1));
    Bytes const madt = acpi_table_of("APIC", body);
    CpuSet cpus{2};
    cpus.add(0);
    cpus.add(7);
    cpus.exclude(5);
    add_madt_cpus(madt.span(), cpus);
    CHECK(ids(cpus) == std::vector<std::uint32_t>{2, 0, 7, 300});
}

TEST_CASE("the boot processor stays first and stays in", "[boot][cpus]") {
    CpuSet cpus{6};
    cpus.exclude(6);
    cpus.add(1);
    cpus.exclude(1);
    cpus.add(1);
    CHECK(ids(cpus) == std::vector<std::uint32_t>{6});
}

TEST_CASE("processors beyond the hand-over's room are counted", "[boot][cpus]") {
    CpuSet cpus{0};
    for (std::uint32_t id = 0; id < ballast::handoff::kMaxCpus + 3; id++)
        cpus.add(id);
    CHECK(cpus.apic_ids().size() == ballast::handoff::kMaxCpus);
    CHECK(cpus.dropped() == 3);
}

TEST_CASE("a table cut short at any byte is read as far as it goes", "[boot][acpi]") {
    Bytes body;
    body.zeros(8).append(local_apic(1, 1)).append(local_x2apic(2, 1));
    Bytes const madt = acpi_table_of("APIC", body);
    Bytes const numa = srat({cpu_affinity(1, 5), memory_affinity(0, 0x1000, 9), x2apic_affinity(2, 9)});
    for (std::size_t length = 0; length <= numa.size(); length++) {
        std::vector<std::byte> const part(numa.span().begin(),
                                          numa.span().begin() + static_cast<std::ptrdiff_t>(length));
        auto const map = std::make_unique<NumaMap>(std::span{part});
        CHECK(map->node_count() == (length < 104 ? 1u : 2u));
    }
    for (std::size_t length = 0; length <= madt.size(); length++) {
        std::vector<std::byte> const part(madt.span().begin(),
                                          madt.span().begin() + static_cast<std::ptrdiff_t>(length));
        CpuSet cpus{0};
        add_madt_cpus(part, cpus);
        CHECK(cpus.apic_ids().size() == 1u + (length >= 52) + (length >= 68));
    }
}

TEST_CASE("an entry with a lying length ends the table", "[boot][acpi]") {
    Bytes body;
    body.zeros(8).append(local_apic(1, 1)).u8(0).u8(0).append(local_apic(2, 1));
    CpuSet cpus{0};
    add_madt_cpus(acpi_table_of("APIC", body).span(), cpus);
    CHECK(ids(cpus) == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("an affinity with no length ends the SRAT", "[boot][numa]") {
    Bytes body;
    body.zeros(12)
        .append(memory_affinity(0, 0x1000, 3))
        .u8(1)
        .u8(0)
        .append(memory_affinity(0x1000, 0x1000, 4));
    auto const map = std::make_unique<NumaMap>(acpi_table_of("SRAT", body).span());
    std::vector<NodeRange> ranges(8);
    CHECK(map->write_ranges(ranges, ~0ull) == 1);
}

TEST_CASE("an entry shorter than its type is left out, and its neighbours are not", "[boot][acpi]") {
    // Where the rest of the short entry would be, the next one begins, with bits that would pass for
    // "enabled".
    auto const cut = [](Bytes entry, std::size_t bytes) {
        entry.data().resize(bytes);
        entry.set_u8(1, static_cast<std::uint8_t>(bytes));
        return entry;
    };
    Bytes const ones =
        Bytes{}.u8(0xff).u8(40).u64(~0ull).u64(~0ull).u64(~0ull).u64(~0ull).u32(~0u).u16(0xffff);
    for (std::size_t bytes = 2; bytes < 40; bytes++) {
        std::vector<Bytes> entries{cut(memory_affinity(0x1000, 0x1000, 1), bytes), ones};
        if (bytes < 24) entries.insert(entries.end(), {cut(x2apic_affinity(1, 2), bytes), ones});
        if (bytes < 16) entries.insert(entries.end(), {cut(cpu_affinity(1, 3), bytes), ones});
        entries.push_back(memory_affinity(0x2000, 0x1000, 4));
        auto const map = std::make_unique<NumaMap>(srat(entries).span());
        CHECK(map->node_count() == 1);
        std::vector<NodeRange> ranges(8);
        REQUIRE(map->write_ranges(ranges, ~0ull) == 1);
        CHECK(ranges[0].base == 0x2000);
    }
    for (std::size_t bytes = 2; bytes < 16; bytes++) {
        Bytes body;
        body.zeros(8).append(cut(local_x2apic(1, 1), bytes)).append(ones);
        if (bytes < 8) body.append(cut(local_apic(2, 1), bytes)).append(ones);
        body.append(local_apic(3, 1));
        CpuSet cpus{0};
        add_madt_cpus(acpi_table_of("APIC", body).span(), cpus);
        CHECK(ids(cpus) == std::vector<std::uint32_t>{0, 3});
    }
}

TEST_CASE("proximity domains become dense nodes in their order", "[boot][numa]") {
    Bytes const table =
        srat({memory_affinity(0x100000000, 0x40000000, 0x01020304), cpu_affinity(3, 0x01020304),
              memory_affinity(0, 0xa0000, 7), memory_affinity(0x100000, 0x3ff00000, 7), cpu_affinity(0, 7),
              x2apic_affinity(400, 9), cpu_affinity(8, 1, 0), memory_affinity(0x900000000, 4096, 2, 0)});
    auto const map = std::make_unique<NumaMap>(table.span());
    CHECK(map->node_count() == 3);
    CHECK(map->node_of_cpu(0) == 0);
    CHECK(map->node_of_cpu(400) == 1);
    CHECK(map->node_of_cpu(3) == 2);
    CHECK(map->node_of_cpu(55) == 0);
    std::vector<NodeRange> ranges(8);
    REQUIRE(map->write_ranges(ranges, 0x120000000) == 3);
    CHECK(ranges[0].base == 0);
    CHECK(ranges[1].base == 0x100000);
    CHECK(ranges[1].node == 0);
    CHECK(ranges[2].base == 0x100000000);
    CHECK(ranges[2].bytes == 0x20000000); // cut at the end of RAM
    CHECK(ranges[2].node == 2);
    CHECK(map->write_ranges(ranges, 0x100000000) == 2);
    CHECK(map->write_ranges(std::span{ranges}.first(1), 0x120000000) == 1);
}

TEST_CASE("overlapping, empty and wrapping memory affinities are left out", "[boot][numa]") {
    Bytes const table = srat({memory_affinity(0x1000, 0x2000, 0), memory_affinity(0x2000, 0x1000, 1),
                              memory_affinity(0, 0x1001, 1), memory_affinity(0x8000, 0, 1),
                              memory_affinity(~0ull - 0xfff, 0x2000, 1)});
    auto const map = std::make_unique<NumaMap>(table.span());
    CHECK(map->node_count() == 1);
    std::vector<NodeRange> ranges(8);
    CHECK(map->write_ranges(ranges, ~0ull) == 1);
}

TEST_CASE("no SRAT means one node", "[boot][numa]") {
    auto const map = std::make_unique<NumaMap>(std::span<std::byte const>{});
    CHECK(map->node_count() == 1);
    CHECK(map->node_of_cpu(12) == 0);
    std::vector<NodeRange> ranges(1);
    CHECK(map->write_ranges(ranges, ~0ull) == 0);
}

TEST_CASE("more domains, ranges and processors than there is room for do no harm", "[boot][numa]") {
    std::vector<Bytes> entries;
    for (std::uint32_t i = 0; i < 700; i++) {
        entries.push_back(memory_affinity(i * 0x1000ull, 0x1000, 1000 - i));
        entries.push_back(x2apic_affinity(i, 1000 - i));
    }
    auto const map = std::make_unique<NumaMap>(srat(entries).span());
    CHECK(map->node_count() == ballast::handoff::kMaxNodeRanges);
    for (std::uint32_t i = 0; i < 700; i++)
        REQUIRE(map->node_of_cpu(i) < map->node_count());
}
