// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/core/decode/mmio_emulator.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace hv;
using namespace hv::decode;
using namespace hv::test;

namespace {
/// A device of plain bytes at kDevice that writes down every access.
constexpr u64 kDevice = 0x3000'0000;
struct Device : MmioTarget {
    std::map<u64, u8> bytes;
    std::vector<std::string> log;
    u64 read(Gpa at, u8 size) override {
        log.push_back("r" + std::to_string(at.raw - kDevice) + "/" + std::to_string(size));
        u64 value = 0;
        for (u8 i = 0; i < size; ++i)
            value |= u64{bytes[at.raw + i]} << (8 * i);
        return value;
    }
    void write(Gpa at, u8 size, u64 value) override {
        log.push_back("w" + std::to_string(at.raw - kDevice) + "/" + std::to_string(size));
        for (u8 i = 0; i < size; ++i)
            bytes[at.raw + i] = static_cast<u8>(value >> (8 * i));
    }
    void set(u64 offset, u64 value) {
        for (u8 i = 0; i < 8; ++i)
            bytes[kDevice + offset + i] = static_cast<u8>(value >> (8 * i));
    }
    u64 get(u64 offset) {
        u64 value = 0;
        for (u8 i = 0; i < 8; ++i)
            value |= u64{bytes[kDevice + offset + i]} << (8 * i);
        return value;
    }
};
using Log = std::vector<std::string>;

struct Bed {
    FakeMemory memory;
    FakeCpu cpu;
    Device device;
    Bed() {
        cpu.long_mode(identity_tables(memory));
        cpu[Reg::Rbx] = kDevice;
        cpu[Reg::Rsp] = 0x9000;
    }
    /// Runs the bytes at 8000h. @return what RIP would advance by.
    int run(std::initializer_list<u8> bytes) {
        auto const r = attempt(bytes);
        REQUIRE(r.ok());
        return r.value().advance_bytes;
    }
    Result<Emulated, EmulationFailure> attempt(std::initializer_list<u8> bytes) {
        cpu[Reg::Rip] = 0x8000;
        memory.code(0x8000, bytes);
        device.log.clear();
        return emulate_mmio(cpu, memory, device);
    }
    GuestFault fault(std::initializer_list<u8> bytes) {
        auto const r = attempt(bytes);
        REQUIRE(!r.ok());
        REQUIRE(r.error().kind == EmulationFailure::Kind::Fault);
        return r.error().fault;
    }
};
} // namespace

TEST_CASE("loads and stores of every width", "[mmio]") {
    Bed b;
    b.device.set(0, 0x8877'6655'4433'2211);
    b.cpu[Reg::Rax] = ~0ull;
    CHECK(b.run({0x8a, 0x03}) == 2); // mov al, [rbx]
    CHECK(b.cpu[Reg::Rax] == 0xffff'ffff'ffff'ff11);
    CHECK(b.run({0x66, 0x8b, 0x03}) == 3);
    CHECK(b.cpu[Reg::Rax] == 0xffff'ffff'ffff'2211);
    CHECK(b.run({0x8b, 0x03}) == 2);
    CHECK(b.cpu[Reg::Rax] == 0x4433'2211);
    CHECK(b.run({0x48, 0x8b, 0x03}) == 3);
    CHECK(b.cpu[Reg::Rax] == 0x8877'6655'4433'2211);
    CHECK(b.device.log == Log{"r0/8"});
    b.run({0x8a, 0x63, 0x01}); // mov ah, [rbx+1]
    CHECK(b.cpu[Reg::Rax] == 0x8877'6655'4433'2211);
    b.run({0x40, 0x8a, 0x63, 0x01}); // with REX it is SPL
    CHECK((b.cpu[Reg::Rsp] & 0xff) == 0x22);
    b.run({0x89, 0x43, 0x10}); // mov [rbx+16], eax
    CHECK(b.device.log == Log{"w16/4"});
    CHECK(b.device.get(16) == 0x4433'2211);
    b.run({0xc7, 0x43, 0x20, 0x78, 0x56, 0x34, 0x12});
    CHECK(b.device.get(32) == 0x1234'5678);
    b.run({0x48, 0xc7, 0x43, 0x20, 0xfe, 0xff, 0xff, 0xff}); // sign-extended immediate
    CHECK(b.device.get(32) == ~1ull);
    b.run({0xc6, 0x43, 0x20, 0x5a});
    CHECK(b.device.log == Log{"w32/1"});
    b.run({0x66, 0x8c, 0x5b, 0x30}); // mov [rbx+48], ds
    CHECK(b.device.get(48) == 0x10);
    CHECK(b.device.log == Log{"w48/2"});
    b.run({0x0f, 0xc3, 0x43, 0x40}); // movnti
    CHECK(b.device.get(64) == 0x4433'2211);
}

TEST_CASE("absolute, RIP-relative, scaled and segment-based addresses", "[mmio]") {
    Bed b;
    b.device.set(8, 0x1234);
    b.run({0xa1, 0x08, 0x00, 0x00, 0x30, 0, 0, 0, 0}); // mov eax, moffs64
    CHECK(b.cpu[Reg::Rax] == 0x1234);
    b.cpu[Reg::Rax] = 0x77;
    b.run({0xa2, 0x10, 0x00, 0x00, 0x30, 0, 0, 0, 0}); // mov moffs64, al
    CHECK(b.device.get(16) == 0x77);
    u32 const relative = static_cast<u32>(kDevice + 8 - (0x8000 + 6));
    b.run({0x8b, 0x0d, static_cast<u8>(relative), static_cast<u8>(relative >> 8),
           static_cast<u8>(relative >> 16), static_cast<u8>(relative >> 24)});
    CHECK(b.cpu[Reg::Rcx] == 0x1234);
    b.cpu[Reg::R12] = 2;
    b.run({0x42, 0x8b, 0x54, 0xa3, 0x00}); // mov edx, [rbx+r12*4]
    CHECK(b.cpu[Reg::Rdx] == 0x1234);
    b.cpu[Seg::Gs].base = kDevice - 0x100;
    b.cpu[Reg::Rsi] = 0x108;
    b.run({0x65, 0x8b, 0x3e}); // mov edi, gs:[rsi]
    CHECK(b.cpu[Reg::Rdi] == 0x1234);
    b.cpu[Reg::Rbx] = kDevice | 0xffff'ffff'0000'0000; // 32-bit address size drops the top
    b.run({0x67, 0x8b, 0x43, 0x08});
    CHECK(b.cpu[Reg::Rax] == 0x1234);
}

TEST_CASE("extending loads", "[mmio]") {
    Bed b;
    b.device.set(0, 0x8899'aabb'ccdd'eef0);
    b.run({0x0f, 0xb6, 0x03});
    CHECK(b.cpu[Reg::Rax] == 0xf0);
    b.run({0x0f, 0xbf, 0x03}); // movsx eax, word
    CHECK(b.cpu[Reg::Rax] == 0xffff'eef0);
    b.run({0x48, 0x0f, 0xbe, 0x03}); // movsx rax, byte
    CHECK(b.cpu[Reg::Rax] == 0xffff'ffff'ffff'fff0);
    b.run({0x48, 0x63, 0x03}); // movsxd
    CHECK(b.cpu[Reg::Rax] == 0xffff'ffff'ccdd'eef0);
    CHECK(b.device.log == Log{"r0/4"});
}

TEST_CASE("read-modify-write reads once and writes once", "[mmio]") {
    Bed b;
    b.device.set(0, 0xf0);
    b.run({0x83, 0x0b, 0x0f}); // or dword [rbx], 15
    CHECK(b.device.log == Log{"r0/4", "w0/4"});
    CHECK(b.device.get(0) == 0xff);
    b.run({0x83, 0x3b, 0xff}); // cmp: no write
    CHECK(b.device.log == Log{"r0/4"});
    b.run({0xf7, 0x03, 1, 0, 0, 0}); // test
    CHECK(b.device.log == Log{"r0/4"});
    b.run({0xf0, 0xff, 0x03}); // lock inc
    CHECK(b.device.get(0) == 0x100);
    b.cpu[Reg::Rax] = 5;
    b.run({0x87, 0x03}); // xchg
    CHECK(b.device.get(0) == 5);
    CHECK(b.cpu[Reg::Rax] == 0x100);
    b.run({0xf0, 0x0f, 0xc1, 0x03}); // xadd
    CHECK(b.device.get(0) == 0x105);
    CHECK(b.cpu[Reg::Rax] == 5);
    b.cpu[Reg::Rcx] = 0x42;
    b.run({0x0f, 0xb1, 0x0b}); // cmpxchg, unequal
    CHECK(b.cpu[Reg::Rax] == 0x105);
    CHECK(b.device.get(0) == 0x105);
    CHECK((b.cpu[Reg::Rflags] & rflags::kZero) == 0);
    b.run({0x0f, 0xb1, 0x0b}); // equal
    CHECK(b.device.get(0) == 0x42);
    CHECK((b.cpu[Reg::Rflags] & rflags::kZero) != 0);
    b.run({0x0f, 0xba, 0x2b, 0x27}); // bts dword [rbx], 39 → bit 7
    CHECK(b.device.get(0) == 0xc2);
    b.cpu[Reg::Rdx] = 32 * 3 + 1;
    b.run({0x0f, 0xab, 0x13}); // bts [rbx], edx: three dwords on
    CHECK(b.device.log == Log{"r12/4", "w12/4"});
    CHECK(b.device.get(12) == 2);
    b.cpu[Reg::Rbx] = kDevice + 16;
    b.cpu[Reg::Rdx] = static_cast<u32>(-1);
    b.run({0x0f, 0xa3, 0x13}); // bt, bit −1
    CHECK(b.device.log == Log{"r12/4"});
}

TEST_CASE("string instructions, forwards, backwards and repeated", "[mmio]") {
    Bed b;
    b.cpu[Reg::Rdi] = kDevice;
    b.cpu[Reg::Rsi] = 0xa000;
    b.cpu[Reg::Rcx] = 3;
    b.memory.code(0xa000, {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0});
    CHECK(b.run({0xf3, 0xa5}) == 2); // rep movsd to the device
    CHECK(b.device.log == Log{"w0/4", "w4/4", "w8/4"});
    CHECK(b.cpu[Reg::Rcx] == 0);
    CHECK(b.cpu[Reg::Rdi] == kDevice + 12);
    CHECK(b.cpu[Reg::Rsi] == 0xa00c);
    CHECK(b.run({0xf3, 0xa5}) == 2); // count 0: nothing but the advance
    CHECK(b.device.log.empty());
    b.cpu[Reg::Rflags] |= rflags::kDirection;
    b.cpu[Reg::Rax] = 0x55;
    b.cpu[Reg::Rdi] = kDevice + 2;
    b.cpu[Reg::Rcx] = 2;
    b.run({0xf3, 0xaa}); // rep stosb, down
    CHECK(b.device.log == Log{"w2/1", "w1/1"});
    CHECK(b.cpu[Reg::Rdi] == kDevice);
    b.cpu[Reg::Rflags] &= ~rflags::kDirection;
    b.cpu[Reg::Rsi] = kDevice + 4;
    b.run({0x48, 0xad}); // lodsq
    CHECK(b.cpu[Reg::Rax] == 0x0000'0003'0000'0002);
    b.cpu[Reg::Rdi] = 0xb000;
    b.cpu[Reg::Rsi] = kDevice + 4;
    b.run({0xa4}); // movsb from the device to RAM
    CHECK(b.memory.ram[0xb000] == 2);
    CHECK(b.cpu[Reg::Rdi] == 0xb001);
}

TEST_CASE("a long repetition comes back in pieces", "[mmio]") {
    Bed b;
    b.cpu[Reg::Rdi] = kDevice;
    b.cpu[Reg::Rcx] = 300;
    CHECK(b.run({0xf3, 0xab}) == 0);
    CHECK(b.cpu[Reg::Rcx] == 300 - kElementsPerCall);
    CHECK(b.cpu[Reg::Rip] == 0x8000);
    CHECK(b.run({0xf3, 0xab}) == 2);
    CHECK(b.cpu[Reg::Rcx] == 0);
    CHECK(b.cpu[Reg::Rdi] == kDevice + 1200);
}

TEST_CASE("a repetition that faults stays at the element that faulted", "[mmio]") {
    Bed b;
    b.cpu[Reg::Rsi] = kDevice;
    b.cpu[Reg::Rdi] = GiB - 8; // the tables end there
    b.cpu[Reg::Rcx] = 5;
    b.memory.ram.resize(2 * MiB);
    auto const f = b.fault({0xf3, 0xa5});
    CHECK(f.event.vector == vector::kPageFault);
    CHECK(f.cr2 == GiB);
    CHECK(f.event.error_code == 2);
    CHECK(b.cpu[Reg::Rcx] == 3);
    CHECK(b.cpu[Reg::Rsi] == kDevice + 8);
    CHECK(b.device.log.back() ==
          "w" + std::to_string(GiB - 4 - kDevice) + "/4"); // to a hole: the device's business
}

TEST_CASE("push of a device's word", "[mmio]") {
    Bed b;
    b.device.set(0, 0x1122'3344'5566'7788);
    b.run({0xff, 0x33});
    CHECK(b.cpu[Reg::Rsp] == 0x8ff8);
    CHECK(b.memory.get<u64>(0x8ff8) == 0x1122'3344'5566'7788);
}

TEST_CASE("32-bit protected mode checks its segments", "[mmio]") {
    Bed b;
    b.cpu.protected_mode();
    b.cpu.efer_value = 0;
    b.cpu.control[3] = 0;
    b.cpu[Reg::Rbx] = 0x1000;
    b.cpu[Seg::Ds] = {0x18, 0x93 | 0x400, 0x1fff, kDevice - 0x1000};
    b.device.set(0, 0xcafe);
    b.run({0x8b, 0x03});
    CHECK(b.cpu[Reg::Rax] == 0xcafe);
    b.cpu[Reg::Rbx] = 0x1ffe; // four bytes reach past the limit
    CHECK(b.fault({0x8b, 0x03}).event.vector == vector::kGeneralProtection);
    b.cpu[Reg::Rbx] = 0x1ffc;
    b.run({0x8b, 0x03});
    b.cpu[Seg::Ds].attributes = 0x91 | 0x400; // read-only
    b.run({0x8b, 0x03});
    CHECK(b.fault({0x89, 0x03}).event.vector == vector::kGeneralProtection);
    b.cpu[Seg::Ds].attributes = 0; // null
    CHECK(b.fault({0x8b, 0x03}).event.vector == vector::kGeneralProtection);
    b.cpu[Seg::Ss].limit = 0x10;
    b.cpu[Reg::Rbp] = 0x100;
    CHECK(b.fault({0x8b, 0x45, 0x00}).event.vector == vector::kStackFault);
    b.cpu[Seg::Ds] = {0x18, 0x97 | 0x400, 0x1fff, kDevice - 0x2000}; // expand down: above the limit
    b.cpu[Reg::Rbx] = 0x2000;
    b.run({0x8b, 0x03});
    CHECK(b.cpu[Reg::Rax] == 0xcafe);
    b.cpu[Reg::Rbx] = 0x1fff;
    CHECK(b.fault({0x8b, 0x03}).event.vector == vector::kGeneralProtection);
}

TEST_CASE("real mode addresses are segment base plus 16-bit offset", "[mmio]") {
    Bed b;
    b.cpu.real_mode();
    b.cpu.efer_value = 0;
    b.cpu.control[0] = b.cpu.control[3] = 0;
    b.cpu[Seg::Ds].base = kDevice; // "unreal" base, as after leaving protected mode
    b.cpu[Reg::Rbx] = 0xfff0;
    b.cpu[Reg::Rsi] = 0x20;
    b.device.set(0x10, 0xbeef);
    b.run({0x8b, 0x00}); // mov ax, [bx+si]
    CHECK(b.cpu[Reg::Rax] == 0xbeef);
    CHECK(b.device.log == Log{"r16/2"});
}

TEST_CASE("an operand across two pages is split, and checked before it is touched", "[mmio]") {
    Bed b;
    b.cpu[Reg::Rbx] = kDevice + 0xffe;
    b.device.set(0xffe, 0x1122'3344'5566'7788);
    b.run({0x48, 0x8b, 0x03});
    CHECK(b.cpu[Reg::Rax] == 0x1122'3344'5566'7788);
    CHECK(b.device.log == Log{"r4094/2", "r4096/4", "r4100/2"});
    b.cpu[Reg::Rbx] = GiB - 2;
    CHECK(b.fault({0x48, 0x89, 0x03}).cr2 == GiB);
    CHECK(b.device.log.empty());
}

TEST_CASE("writes need write permission even when the read would do", "[mmio]") {
    Bed b;
    b.memory.put<u64>(0x3000 + 8 * (kDevice / kLargePageBytes), kDevice | 0xe5); // read-only, user
    CHECK(b.fault({0xff, 0x03}).event.error_code == 3);
    CHECK(b.device.log.empty());
    b.run({0x8b, 0x03});
    b.cpu.cpl_value = 3;
    CHECK(b.fault({0x89, 0x03}).event.error_code == 7);
}

TEST_CASE("what is not known is refused, and nothing is touched", "[mmio]") {
    Bed b;
    for (auto const& bytes : std::initializer_list<std::initializer_list<u8>>{
             {0xff, 0x13},             // call [rbx]
             {0x0f, 0x6f, 0x03},       // movq mm0, [rbx]
             {0xf2, 0x0f, 0x10, 0x03}, // movsd xmm0, [rbx]
             {0x0f, 0x01, 0x13},       // lgdt
             {0xdd, 0x03},             // fld
         }) {
        auto const r = b.attempt(bytes);
        REQUIRE(!r.ok());
        CHECK(r.error().kind == EmulationFailure::Kind::Unsupported);
        CHECK(b.device.log.empty());
    }
    CHECK(b.run({0x90}) == 0); // code changed under us: enter again
    CHECK(b.fault({0x0f, 0x0a}).event.vector == vector::kInvalidOpcode);
}

TEST_CASE("ballooned memory is reported, not read as a device", "[mmio]") {
    Bed b;
    b.cpu[Reg::Rsi] = 0xa000;
    b.cpu[Reg::Rdi] = kDevice;
    b.memory.ballooned.insert(0xa);
    auto const r = b.attempt({0xa5});
    REQUIRE(!r.ok());
    CHECK(r.error().kind == EmulationFailure::Kind::Memory);
    CHECK(r.error().memory == GuestMemoryError::Ballooned);
}
