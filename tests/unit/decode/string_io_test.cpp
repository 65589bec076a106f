// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/core/decode/control_instruction.hpp"
#include "hv/core/decode/string_io.hpp"
#include <catch2/catch.hpp>
#include <string>

using namespace hv;
using namespace hv::decode;
using namespace hv::test;

namespace {
struct Ports : PortTarget {
    std::vector<std::string> log;
    u32 next = 1;
    u32 read(u16 port, u8 size) override {
        log.push_back("in " + std::to_string(port) + "/" + std::to_string(size));
        return next++;
    }
    void write(u16 port, u8 size, u32 value) override {
        log.push_back("out " + std::to_string(port) + "/" + std::to_string(size) + "=" +
                      std::to_string(value));
    }
};
using Log = std::vector<std::string>;
struct OpenBus : MmioTarget {
    std::vector<u64> touched;
    u64 read(Gpa at, u8) override {
        touched.push_back(at.raw);
        return ~0ull;
    }
    void write(Gpa at, u8, u64) override { touched.push_back(at.raw); }
};
struct Bed {
    FakeMemory memory;
    FakeCpu cpu;
    Ports ports;
    OpenBus bus;
    Bed() { cpu.long_mode(identity_tables(memory)); }
    void place(std::initializer_list<u8> bytes) {
        cpu[Reg::Rip] = 0x8000;
        memory.code(0x8000, bytes);
    }
    Result<Emulated, EmulationFailure> io(std::initializer_list<u8> bytes, u8 size, bool in) {
        place(bytes);
        return string_io(cpu, memory, bus, ports,
                         {.port = 0x3f8, .size_bytes = size, .in = in, .string = true, .repeat = false});
    }
    ControlInstruction control(std::initializer_list<u8> bytes) {
        place(bytes);
        auto const r = decode_control(cpu, memory);
        REQUIRE(r.ok());
        CHECK(r.value().length == bytes.size());
        return r.value();
    }
};
} // namespace

TEST_CASE("OUTS takes its segment and address size from the instruction", "[stringio]") {
    Bed b;
    b.memory.code(0xa000, {'h', 'i', '!', 0});
    b.cpu[Reg::Rsi] = 0xa000;
    b.cpu[Reg::Rcx] = 3;
    CHECK(b.io({0xf3, 0x6e}, 1, false).value().advance_bytes == 2);
    CHECK(b.ports.log == Log{"out 1016/1=104", "out 1016/1=105", "out 1016/1=33"});
    CHECK(b.cpu[Reg::Rsi] == 0xa003);
    CHECK(b.cpu[Reg::Rcx] == 0);
    b.ports.log.clear();
    b.cpu[Seg::Fs].base = 0x9000;
    b.cpu[Reg::Rsi] = 0xffff'ffff'0000'1000;
    CHECK(b.io({0x64, 0x67, 0x66, 0x6f}, 2, false).value().advance_bytes == 4); // outsw fs:[esi]
    CHECK(b.ports.log == Log{"out 1016/2=" + std::to_string('h' | 'i' << 8)});
    CHECK(b.cpu[Reg::Rsi] == 0x1002); // 32-bit address size clears the top
}

TEST_CASE("INS stores, and reads the port only if it can", "[stringio]") {
    Bed b;
    b.cpu[Reg::Rdi] = 0xb000;
    b.cpu[Reg::Rflags] |= rflags::kDirection;
    b.ports.next = 0x1234'5678;
    CHECK(b.io({0x6d}, 4, true).value().advance_bytes == 1);
    CHECK(b.memory.get<u32>(0xb000) == 0x1234'5678);
    CHECK(b.cpu[Reg::Rdi] == 0xaffc);
    b.ports.log.clear();
    b.cpu[Reg::Rdi] = GiB;
    auto const r = b.io({0x6d}, 4, true);
    REQUIRE(!r.ok());
    CHECK(r.error().fault.cr2 == GiB);
    CHECK(b.ports.log.empty());
}

TEST_CASE("a zero count does nothing, a long one comes back", "[stringio]") {
    Bed b;
    b.cpu[Reg::Rsi] = 0xa000;
    CHECK(b.io({0xf3, 0x6e}, 1, false).value().advance_bytes == 2);
    CHECK(b.ports.log.empty());
    b.cpu[Reg::Rcx] = 1000;
    u32 total = 0, calls = 0;
    for (int done = 0; done == 0; ++calls) {
        auto const r = b.io({0xf3, 0x6e}, 1, false);
        total += r.value().accesses;
        done = r.value().advance_bytes;
    }
    CHECK(total == 1000);
    CHECK(calls == 4);
}

TEST_CASE("code that changed under us is left to the guest", "[stringio]") {
    Bed b;
    CHECK(b.io({0x90}, 1, false).value().advance_bytes == 0);
    CHECK(b.io({0x6f}, 1, false).value().advance_bytes == 0); // another size
    CHECK(b.io({0x6c}, 1, false).value().advance_bytes == 0); // the other direction
    CHECK(b.ports.log.empty());
}

TEST_CASE("where no memory is, string I/O meets the bus that a MOV meets", "[stringio]") {
    Bed b;
    u64 const hole = b.memory.ram.size();
    b.cpu[Reg::Rsi] = hole - 2;
    b.cpu[Reg::Rcx] = 2;
    b.memory.code(hole - 2, {1, 2});
    CHECK(b.io({0xf3, 0x66, 0x6f}, 2, false).value().advance_bytes == 3);
    CHECK(b.ports.log == Log{"out 1016/2=513", "out 1016/2=65535"});
    CHECK(b.bus.touched == std::vector<u64>{hole});
    b.cpu[Reg::Rdi] = hole;
    b.cpu[Reg::Rcx] = 2;
    CHECK(b.io({0xf3, 0x6c}, 1, true).value().advance_bytes == 2);
    CHECK(b.bus.touched == std::vector<u64>{hole, hole, hole + 1});
    CHECK(b.cpu[Reg::Rdi] == hole + 2);
}

TEST_CASE("16-bit string output", "[stringio]") {
    Bed b;
    b.cpu.real_mode();
    b.cpu.efer_value = b.cpu.control[0] = b.cpu.control[3] = 0;
    b.cpu[Seg::Es].base = 0xa000;
    b.cpu[Reg::Rsi] = 0x1'ffff; // SI = ffffh
    b.cpu[Reg::Rcx] = 0xffff'0002;
    b.memory.ram[0x19fff] = 7;
    b.memory.ram[0xa000] = 9;
    CHECK(b.io({0xf3, 0x26, 0x6e}, 1, false).value().advance_bytes == 3); // rep outs es:[si]
    CHECK(b.ports.log == Log{"out 1016/1=7", "out 1016/1=9"});            // wraps in 64 KiB
    CHECK(b.cpu[Reg::Rsi] == 0x1'0001);
    CHECK(b.cpu[Reg::Rcx] == 0xffff'0000);
}

TEST_CASE("control and debug register moves", "[control]") {
    using Kind = ControlInstruction::Kind;
    Bed b;
    auto i = b.control({0x0f, 0x22, 0xc3}); // mov cr0, rbx
    CHECK(i.kind == Kind::MovToControl);
    CHECK(i.number == 0);
    CHECK(i.gpr == Reg::Rbx);
    i = b.control({0x41, 0x0f, 0x20, 0xe1}); // mov r9, cr4
    CHECK(i.kind == Kind::MovFromControl);
    CHECK(i.number == 4);
    CHECK(i.gpr == Reg::R9);
    i = b.control({0x44, 0x0f, 0x22, 0xc0}); // mov cr8, rax
    CHECK(i.kind == Kind::MovToControl);
    CHECK(i.number == 8);
    i = b.control({0x0f, 0x23, 0xf8}); // mov dr7, rax
    CHECK(i.kind == Kind::MovToDebug);
    CHECK(i.number == 7);
    i = b.control({0x0f, 0x21, 0xf2}); // mov rdx, dr6
    CHECK(i.kind == Kind::MovFromDebug);
    CHECK(i.number == 6);
    CHECK(i.gpr == Reg::Rdx);
    b.cpu[Reg::Rdx] = ~0ull;
    finish_move_from(b.cpu, i, 0x1'0000'0001);
    CHECK(b.cpu[Reg::Rdx] == 0x1'0000'0001);
    CHECK(b.control({0x0f, 0x06}).kind == Kind::Clts);
}

TEST_CASE("LMSW and SMSW, by register and by memory", "[control]") {
    using Kind = ControlInstruction::Kind;
    Bed b;
    b.cpu[Reg::Rcx] = 0xabcd'0013;
    auto i = b.control({0x0f, 0x01, 0xf1});
    CHECK(i.kind == Kind::Lmsw);
    CHECK(i.lmsw_source == 0x0013);
    b.cpu[Reg::Rbx] = 0xa000;
    b.memory.put<u16>(0xa000, 0x31);
    CHECK(b.control({0x0f, 0x01, 0x33}).lmsw_source == 0x31);
    i = b.control({0x66, 0x0f, 0x01, 0xe1}); // smsw cx
    CHECK(i.kind == Kind::Smsw);
    CHECK(finish_smsw(b.cpu, b.memory, i, 0x8005'0033).ok());
    CHECK(b.cpu[Reg::Rcx] == 0xabcd'0033);
    i = b.control({0x0f, 0x01, 0xe1}); // smsw ecx
    CHECK(finish_smsw(b.cpu, b.memory, i, 0x8005'0033).ok());
    CHECK(b.cpu[Reg::Rcx] == 0x8005'0033);
    i = b.control({0x0f, 0x01, 0x63, 0x10}); // smsw [rbx+16]
    CHECK(finish_smsw(b.cpu, b.memory, i, 0x8005'0033).ok());
    CHECK(b.memory.get<u32>(0xa010) == 0x33);
    b.place({0x90});
    auto const other = decode_control(b.cpu, b.memory);
    REQUIRE(!other.ok());
    CHECK(other.error().kind == EmulationFailure::Kind::Unsupported);
    b.place({0x8b, 0x03}); // a MOV, but an ordinary one
    CHECK(!decode_control(b.cpu, b.memory).ok());
}

TEST_CASE("32-bit code moves 32 bits", "[control]") {
    Bed b;
    b.cpu.protected_mode();
    b.cpu.efer_value = b.cpu.control[3] = 0;
    auto const i = b.control({0x0f, 0x20, 0xd8}); // mov eax, cr3
    CHECK(i.operand_bytes == 4);
    b.cpu[Reg::Rax] = ~0ull;
    finish_move_from(b.cpu, i, 0x1234);
    CHECK(b.cpu[Reg::Rax] == 0x1234);
}
