// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/core/decode/length_decoder.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::decode;
using namespace hv::test;

namespace {
struct Bed {
    FakeMemory memory;
    FakeCpu cpu;
    LengthDecoder decoder;
    u64 generation = 1;

    Bed() { cpu.long_mode(identity_tables(memory)); }
    CodeAddress at(ExitKind kind = ExitKind::Cpuid) { return code_address(cpu, kind, generation); }
    void code(u64 rip, std::initializer_list<u8> bytes) {
        cpu[Reg::Rip] = rip;
        memory.code(rip, bytes);
    }
    u8 length(ExitKind kind = ExitKind::Cpuid) {
        auto const r = decoder.length(cpu, memory, at(kind));
        REQUIRE(r.ok());
        return r.value();
    }
};
} // namespace

TEST_CASE("instructions that exit have their lengths", "[decode]") {
    Bed bed;
    bed.code(0x8000, {0x0f, 0xa2});
    CHECK(bed.length() == 2);
    bed.code(0x8010, {0x0f, 0x01, 0xd9});
    CHECK(bed.length() == 3);
    bed.code(0x8020, {0xf4});
    CHECK(bed.length() == 1);
    bed.code(0x8030, {0x66, 0x66, 0x0f, 0xa2});
    CHECK(bed.length() == 4);
    bed.code(0x8040, {0x44, 0x0f, 0x20, 0xc0});
    CHECK(bed.length() == 4);
    bed.code(0x8050, {0xc7, 0x04, 0x25, 1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(bed.length() == 11);
}

TEST_CASE("the second exit at a place is answered without reading the guest's tables", "[decode]") {
    Bed bed;
    bed.code(0x8000, {0x0f, 0xa2});
    CHECK(bed.decoder.cached(bed.at()) == 0);
    CHECK(bed.length() == 2);
    u64 const reads = bed.memory.reads;
    CHECK(bed.decoder.cached(bed.at()) == 2);
    CHECK(bed.length() == 2);
    CHECK(bed.memory.reads == reads);
    CHECK(bed.decoder.hits() == 1);
    CHECK(bed.decoder.misses() == 1);
}

TEST_CASE("the cache forgets when anything it relied on changed", "[decode]") {
    Bed bed;
    bed.code(0x8000, {0x0f, 0xa2, 0x90});
    REQUIRE(bed.length() == 2);
    SECTION("the bytes") {
        bed.code(0x8000, {0x0f, 0x01, 0xd9});
        CHECK(bed.length() == 3);
    }
    SECTION("only what follows the instruction") {
        bed.memory.ram[0x8002] = 0xcc;
        CHECK(bed.decoder.cached(bed.at()) == 2);
    }
    SECTION("the nested map") {
        bed.generation = 2;
        CHECK(bed.decoder.cached(bed.at()) == 0);
    }
    SECTION("the address space") {
        auto at = bed.at();
        at.cr3 += 0x1000;
        CHECK(bed.decoder.cached(at) == 0);
    }
    SECTION("the code segment or the kind of exit") {
        auto at = bed.at();
        at.cs ^= 1u << 25;
        CHECK(bed.decoder.cached(at) == 0);
        CHECK(bed.decoder.cached(bed.at(ExitKind::MsrRead)) == 0);
    }
}

TEST_CASE("prefixed instructions and those at a page's end are decoded each time", "[decode]") {
    Bed bed;
    bed.code(0x8000, {0xf3, 0x0f, 0xa2});
    CHECK(bed.length() == 3);
    CHECK(bed.decoder.cached(bed.at()) == 0);
    bed.code(0x8ffe, {0x0f, 0xa2});
    CHECK(bed.length() == 2);
    CHECK(bed.decoder.cached(bed.at()) == 0);
    bed.code(0x8fff, {0x0f, 0xa2}); // across two pages
    CHECK(bed.length() == 2);
}

TEST_CASE("the same bytes differ by mode", "[decode]") {
    FakeMemory memory;
    FakeCpu cpu;
    memory.code(0x10, {0xb8, 1, 2, 3, 4});
    cpu.real_mode();
    cpu[Seg::Cs].base = 0x10;
    CHECK(instruction_length(fetch_code(cpu, memory).value()).value() == 3);
    cpu.protected_mode();
    cpu[Seg::Cs].base = 0x8;
    cpu[Reg::Rip] = 8;
    CHECK(instruction_length(fetch_code(cpu, memory).value()).value() == 5);
    cpu[Seg::Cs].attributes = 0x9b; // 16-bit protected mode
    CHECK(instruction_length(fetch_code(cpu, memory).value()).value() == 3);
}

TEST_CASE("what cannot be fetched or decoded is the fault the processor would raise", "[decode]") {
    Bed bed;
    auto const fault = [&] {
        auto const r = bed.decoder.length(bed.cpu, bed.memory, bed.at());
        REQUIRE(!r.ok());
        REQUIRE(r.error().kind == EmulationFailure::Kind::Fault);
        return r.error().fault;
    };
    bed.code(0x8000, {0x0f, 0xff});
    bed.code(0x8000, {0x0f, 0x0a});
    CHECK(fault().event.vector == vector::kInvalidOpcode);
    bed.code(0x8000, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                      0x0f, 0xa2});
    CHECK(fault().event.vector == vector::kGeneralProtection);
    bed.cpu[Reg::Rip] = 0x4000'0000'0000;
    auto f = fault();
    CHECK(f.event.vector == vector::kPageFault);
    CHECK(f.cr2 == 0x4000'0000'0000);
    CHECK(f.event.error_code == 0x10);
    bed.cpu[Reg::Rip] = 0x8000'0000'0000;
    CHECK(fault().event.vector == vector::kGeneralProtection);
    // An instruction whose second half lies on an absent page.
    bed.memory.put<u64>(0x2000, 0x3007);
    bed.memory.put<u64>(0x3008, 0);
    bed.cpu[Reg::Rip] = kLargePageBytes - 1;
    bed.memory.ram[kLargePageBytes - 1] = 0x0f;
    f = fault();
    CHECK(f.event.vector == vector::kPageFault);
    CHECK(f.cr2 == kLargePageBytes);
}

TEST_CASE("code in a ballooned page is memory that is gone, not a guest's fault", "[decode]") {
    Bed bed;
    bed.cpu[Reg::Rip] = 0x8000;
    bed.memory.ballooned.insert(8);
    auto const r = bed.decoder.length(bed.cpu, bed.memory, bed.at());
    REQUIRE(!r.ok());
    CHECK(r.error().kind == EmulationFailure::Kind::Memory);
    CHECK(r.error().memory == GuestMemoryError::Ballooned);
}
