// SPDX-License-Identifier: Apache-2.0
#include "hv/init/trace/elf_symbols.hpp"
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

using namespace hv;
using hv::init::ElfSymbols;
using hv::init::SymbolError;

namespace {
void put(std::vector<u8>& to, usize at, u64 v, usize bytes) {
    if (to.size() < at + bytes) {
        to.resize(at + bytes);
    }
    for (usize i = 0; i < bytes; ++i) {
        to[at + i] = static_cast<u8>(v >> (8 * i));
    }
}
struct Entry {
    std::string name;
    u64 value, size;
    u8 type = 2;
    u16 section = 1;
};

/// header, strings, symbols, three sections: null, .symtab, .strtab
std::vector<u8> make_elf(std::vector<Entry> const& entries) {
    std::vector<u8> file(64);
    std::memcpy(file.data(),
                "\x7f"
                "ELF\2\1\1",
                7);
    std::string strings(1, '\0');
    std::vector<u8> symbols(24);
    for (auto const& e : entries) {
        usize const at = symbols.size();
        put(symbols, at, strings.size(), 4);
        put(symbols, at + 4, e.type, 1);
        put(symbols, at + 6, e.section, 2);
        put(symbols, at + 8, e.value, 8);
        put(symbols, at + 16, e.size, 8);
        strings += e.name + '\0';
    }
    usize const strings_at = file.size();
    file.insert(file.end(), strings.begin(), strings.end());
    usize const symbols_at = file.size();
    file.insert(file.end(), symbols.begin(), symbols.end());
    usize const sections_at = file.size();
    put(file, sections_at + 3 * 64 - 1, 0, 1);
    put(file, sections_at + 64 + 4, 2, 4);
    put(file, sections_at + 64 + 0x18, symbols_at, 8);
    put(file, sections_at + 64 + 0x20, symbols.size(), 8);
    put(file, sections_at + 64 + 0x28, 2, 4);
    put(file, sections_at + 128 + 4, 3, 4);
    put(file, sections_at + 128 + 0x18, strings_at, 8);
    put(file, sections_at + 128 + 0x20, strings.size(), 8);
    put(file, 0x28, sections_at, 8);
    put(file, 0x3a, 64, 2);
    put(file, 0x3c, 3, 2);
    return file;
}
std::vector<Entry> const kProgram = {{"start", 0x1000, 0, 0},          {"main", 0x1010, 0x100},
                                     {"hole_after", 0x2000, 0x10},     {"table", 0x3000, 64, 1},
                                     {"main_alias", 0x1010, 0x100, 0}, {"file.cpp", 0x1020, 0, 4},
                                     {"elsewhere", 0x1030, 0, 0, 0}};
} // namespace

TEST_CASE("an address inside a function finds its name and offset", "[symbols]") {
    auto const file = make_elf(kProgram);
    auto const symbols = ElfSymbols::parse(file);
    REQUIRE(symbols.ok());
    auto const in_main = symbols.value().find(0x1034);
    REQUIRE(in_main);
    CHECK(in_main->name == "main");
    CHECK(in_main->offset_bytes == 0x24);
    CHECK(symbols.value().find(0x1008)->name == "start");
    CHECK(symbols.value().find(0x303f)->name == "table");
}

TEST_CASE("past the end of a sized symbol only an unsized one below may speak", "[symbols]") {
    auto const file = make_elf({{"only", 0x1000, 0x10}});
    auto const symbols = ElfSymbols::parse(file);
    REQUIRE(symbols.ok());
    CHECK(symbols.value().find(0x100f));
    CHECK_FALSE(symbols.value().find(0x1010));
    CHECK_FALSE(symbols.value().find(0xfff));
    CHECK_FALSE(ElfSymbols{}.find(0x1000));
}

TEST_CASE("files that are not what they should be are refused by kind", "[symbols]") {
    auto const good = make_elf(kProgram);
    auto bad = good;
    bad[4] = 1;
    CHECK(ElfSymbols::parse(bad).error() == SymbolError::NotElf64);
    CHECK(ElfSymbols::parse(std::span{good}.first(20)).error() == SymbolError::NotElf64);
    bad = good;
    put(bad, 0x28, good.size() - 10, 8);
    CHECK(ElfSymbols::parse(bad).error() == SymbolError::BadSectionTable);
    bad = good;
    put(bad, 0x28, ~0ull - 3, 8);
    CHECK(ElfSymbols::parse(bad).error() == SymbolError::BadSectionTable);
    bad = good;
    put(bad, good.size() - 3 * 64 + 64 + 4, 1, 4);
    CHECK(ElfSymbols::parse(bad).error() == SymbolError::NoSymbols);
}

TEST_CASE("a file cut short or damaged anywhere never makes a wild access", "[symbols]") {
    auto const good = make_elf(kProgram);
    for (usize length = 0; length <= good.size(); ++length) {
        std::vector<u8> const cut(good.begin(), good.begin() + static_cast<long>(length));
        if (auto const symbols = ElfSymbols::parse(cut); symbols.ok()) {
            (void)symbols.value().find(0x1034);
        }
    }
    for (usize at = 0; at < good.size(); ++at) {
        for (u8 const v : {u8{0}, u8{0xff}, u8{0x80}}) {
            auto bad = good;
            bad[at] = v;
            if (auto const symbols = ElfSymbols::parse(bad); symbols.ok()) {
                for (u64 address = 0xff0; address < 0x3100; address += 0x10) {
                    (void)symbols.value().find(address);
                }
            }
        }
    }
    SUCCEED("AddressSanitizer had nothing to say");
}
