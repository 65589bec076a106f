// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/acpi_builder.hpp"
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace hv;
using namespace hv::platform;

namespace {
/// Reads the tables back as a guest would: RSDP, then XSDT, then what they point to.
struct Parsed {
    std::vector<u8> image;
    Gpa base;
    std::map<std::string, u64> tables; ///< signature → offset

    template <class T>
    T get(u64 at) const {
        REQUIRE(at + sizeof(T) <= image.size());
        T v;
        std::memcpy(&v, image.data() + at, sizeof v);
        return v;
    }
    std::string text(u64 at, usize n) const { return {reinterpret_cast<char const*>(image.data()) + at, n}; }
    u8 sum(u64 at, usize n) const {
        u8 s = 0;
        for (usize i = 0; i < n; ++i)
            s = static_cast<u8>(s + get<u8>(at + i));
        return s;
    }
    u64 length(std::string const& table) const { return get<u32>(tables.at(table) + 4); }
    void table(u64 address) {
        u64 const at = address - base.raw;
        tables[text(at, 4)] = at;
        if (text(at, 4) != "FACS") {
            CHECK(sum(at, get<u32>(at + 4)) == 0);
            CHECK(text(at + 10, 6) == "BALLST");
        }
    }
};

Parsed parse(AcpiConfig const& config, usize room = 64 * KiB) {
    Parsed p;
    p.base = config.base;
    p.image.assign(room, 0);
    auto const built = build_acpi(p.image, config);
    REQUIRE(built.ok());
    CHECK(built.value().rsdp == config.base);
    p.image.resize(built.value().bytes);
    CHECK(p.text(0, 8) == "RSD PTR ");
    CHECK(p.sum(0, 20) == 0);
    CHECK(p.sum(0, 36) == 0);
    CHECK(p.get<u8>(15) == 2);
    p.table(p.get<u64>(24));
    u64 const xsdt = p.tables.at("XSDT");
    for (u64 at = xsdt + 36; at < xsdt + p.length("XSDT"); at += 8) {
        p.table(p.get<u64>(at));
    }
    u64 const fadt = p.tables.at("FACP");
    p.table(p.get<u64>(fadt + 140));
    p.table(p.get<u32>(fadt + 36));
    CHECK(p.get<u32>(fadt + 40) == p.get<u64>(fadt + 140));
    return p;
}
} // namespace

TEST_CASE("the tables hang together and sum to zero", "[acpi]") {
    Parsed const p = parse({.processors = 2});
    CHECK(p.tables.size() == 5);
    CHECK(p.tables.count("SRAT") == 0);
    for (char const* name : {"XSDT", "FACP", "FACS", "DSDT", "APIC"}) {
        CHECK(p.tables.count(name) == 1);
    }
    CHECK(p.tables.at("FACS") % 64 == 0);
    CHECK(p.length("FACS") == 64);
}

TEST_CASE("FADT describes our ports, not a hardware-reduced machine", "[acpi]") {
    Parsed const p = parse({});
    u64 const f = p.tables.at("FACP");
    CHECK(p.length("FACP") == 276);
    CHECK(p.get<u8>(f + 8) == 6);
    CHECK(p.get<u8>(f + 131) == 2);
    CHECK(p.get<u16>(f + 46) == 9);
    CHECK(p.get<u32>(f + 48) == 0); // no SMI command port
    CHECK(p.get<u32>(f + 56) == 0x400);
    CHECK(p.get<u32>(f + 64) == 0x404);
    CHECK(p.get<u32>(f + 76) == 0x408);
    CHECK(p.get<u32>(f + 80) == 0x40c);
    CHECK(p.get<u16>(f + 96) == 101);
    CHECK(p.get<u8>(f + 108) == 0x32);
    CHECK(p.get<u16>(f + 109) == 4);      // VGA not present; no 8042, RTC present
    CHECK(p.get<u32>(f + 112) == 0x8535); // WBINVD, C1, no buttons, 32-bit timer, reset, platform clock
    CHECK((p.get<u32>(f + 112) & 1u << 20) == 0); // not hardware-reduced
    CHECK(p.get<u8>(f + 116) == 1);
    CHECK(p.get<u64>(f + 120) == 0x433);
    CHECK(p.get<u8>(f + 128) == 1);
    CHECK(p.get<u64>(f + 148 + 4) == 0x400);
    CHECK(p.get<u8>(f + 148 + 1) == 32);
    CHECK(p.get<u64>(f + 172 + 4) == 0x404);
    CHECK(p.get<u64>(f + 208 + 4) == 0x408);
    CHECK(p.get<u64>(f + 220 + 4) == 0x40c);
    CHECK(p.get<u64>(f + 244) == 0);
}

TEST_CASE("MADT lists processors, the I/O APIC, the interval timer and the SCI", "[acpi]") {
    Parsed const p = parse({.processors = 300});
    u64 const m = p.tables.at("APIC");
    CHECK(p.get<u32>(m + 36) == 0xfee0'0000);
    CHECK(p.get<u32>(m + 40) == 1);
    u32 lapics = 0, x2apics = 0, others = 0;
    u64 at = m + 44;
    for (; at < m + p.length("APIC"); at += p.get<u8>(at + 1)) {
        REQUIRE(p.get<u8>(at + 1) != 0);
        switch (p.get<u8>(at)) {
        case 0:
            CHECK(p.get<u8>(at + 3) == lapics);
            CHECK(p.get<u32>(at + 4) == 1);
            ++lapics;
            break;
        case 9:
            CHECK(p.get<u32>(at + 4) == 255 + x2apics);
            CHECK(p.get<u32>(at + 12) == 255 + x2apics);
            ++x2apics;
            break;
        case 1: CHECK(p.get<u32>(at + 4) == 0xfec0'0000); break;
        case 2:
            if (p.get<u8>(at + 3) == 0) {
                CHECK(p.get<u32>(at + 4) == 2); // the interval timer's pin
                CHECK(p.get<u16>(at + 8) == 0); // as ISA: edge, active high
                break;
            }
            CHECK(p.get<u8>(at + 3) == 9);
            CHECK(p.get<u32>(at + 4) == 9);
            CHECK(p.get<u16>(at + 8) == 0xd); // level, active high
            break;
        default: ++others;
        }
    }
    CHECK(at == m + p.length("APIC"));
    CHECK(lapics == 255);
    CHECK(x2apics == 45);
    CHECK(others == 1); // LINT1
}

TEST_CASE("SRAT covers memory that is there and memory to come", "[acpi]") {
    AcpiMemoryRange const ranges[] = {{{0}, 512 * MiB, 0, false}, {{4 * GiB}, 2 * GiB, 1, true}};
    Parsed const p = parse({.processors = 2, .memory = ranges});
    u64 const s = p.tables.at("SRAT");
    CHECK(p.length("SRAT") == 48 + 2 * 24 + 2 * 40);
    u64 const second = s + 48 + 2 * 24 + 40;
    CHECK(p.get<u32>(second + 2) == 1);
    CHECK(p.get<u64>(second + 8) == 4 * GiB);
    CHECK(p.get<u64>(second + 16) == 2 * GiB);
    CHECK(p.get<u32>(second + 28) == 3);
}

TEST_CASE("too little room is said, and nothing is written past it", "[acpi]") {
    std::vector<u8> guarded(4096, 0xee);
    for (usize room : {0u, 1u, 35u, 36u, 100u, 500u}) {
        auto const r = build_acpi(std::span{guarded}.first(room), {});
        REQUIRE(!r.ok());
        CHECK(r.error() == AcpiError::NoRoom);
        CHECK(guarded[room] == 0xee);
    }
    std::vector<u8> plenty(64 * KiB);
    usize const exact = build_acpi(plenty, {}).value().bytes;
    CHECK(build_acpi(std::span{plenty}.first(exact), {}).ok());
    CHECK(!build_acpi(std::span{plenty}.first(exact - 1), {}).ok());
}

TEST_CASE("the DSDT disassembles to what was meant", "[acpi][iasl]") {
    if (std::system("command -v iasl >/dev/null 2>&1") != 0) {
        WARN("iasl is not installed: AML not cross-checked");
        return;
    }
    Parsed const p = parse({.mmio32_base = 0xf800'0000,
                            .mmio32_bytes = 0x0100'0000,
                            .mmio64_base = 0xf'0000'0000,
                            .mmio64_bytes = 0x1'0000'0000});
    auto const folder = std::filesystem::temp_directory_path() / ("ballast-aml-" + std::to_string(::rand()));
    std::filesystem::create_directories(folder);
    for (auto const& [name, at] : p.tables) {
        std::ofstream{folder / (name + ".aml"), std::ios::binary}
            << p.text(at, name == "FACS" ? 64 : p.length(name));
        std::string const command =
            "cd " + folder.string() + " && iasl -d " + name + ".aml > " + name + ".log 2>&1";
        CHECK(std::system(command.c_str()) == 0);
    }
    auto const slurp = [&](char const* file) {
        std::stringstream s;
        s << std::ifstream{folder / file}.rdbuf();
        return s.str();
    };
    std::string const dsl = slurp("DSDT.dsl");
    for (char const* wanted : {"Name (_S5, Package (0x04)", "Scope (\\_SB)", "Device (VMOD)", "Device (VMBS)",
                               "Name (_CID, \"VMBus\")", "Device (COM1)", "EisaId (\"PNP0501\")",
                               "IRQNoFlags ()", "{4}", "0x03F8,", "DWordMemory (ResourceProducer",
                               "QWordMemory (ResourceProducer", "0xF8FFFFFF", "0x0000000FFFFFFFFF"}) {
        INFO(wanted << "\n" << dsl);
        CHECK(dsl.find(wanted) != std::string::npos);
    }
    CHECK(dsl.find("_S4") == std::string::npos);
    for (char const* name : {"FACP.dsl", "APIC.dsl"}) {
        std::string const table = slurp(name);
        INFO(table);
        CHECK(table.find("Unknown") == std::string::npos);
        CHECK(table.find("Invalid") == std::string::npos);
    }
    // And it compiles again.
    CHECK(std::system(("cd " + folder.string() + " && iasl -ve DSDT.dsl > again.log 2>&1").c_str()) == 0);
    std::filesystem::remove_all(folder);
}
