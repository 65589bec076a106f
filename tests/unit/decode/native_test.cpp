// SPDX-License-Identifier: Apache-2.0
// The emulator against the processor that runs the test: the same bytes, the same operands, executed by both.
#include "fakes.hpp"
#include "hv/core/decode/mmio_emulator.hpp"
#include <catch2/catch.hpp>
#include <random>
#include <sys/mman.h>

#if defined(__x86_64__)
using namespace hv;
using namespace hv::decode;
using namespace hv::test;

extern "C" {
struct NativeState {
    u64 registers[16]; ///< by encoding; RSP's slot is not used
    u64 rflags;
};
void ballast_run_native(NativeState*, void const* code);
}

asm(R"(
    .text
    .globl ballast_run_native
ballast_run_native:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdi
    push %rsi
    push 128(%rdi)
    popfq
    mov 0(%rdi), %rax
    mov 8(%rdi), %rcx
    mov 16(%rdi), %rdx
    mov 24(%rdi), %rbx
    mov 40(%rdi), %rbp
    mov 48(%rdi), %rsi
    mov 64(%rdi), %r8
    mov 72(%rdi), %r9
    mov 80(%rdi), %r10
    mov 88(%rdi), %r11
    mov 96(%rdi), %r12
    mov 104(%rdi), %r13
    mov 112(%rdi), %r14
    mov 120(%rdi), %r15
    mov 56(%rdi), %rdi
    call *(%rsp)
    push %rdi
    pushfq
    cld
    mov 24(%rsp), %rdi
    mov %rax, 0(%rdi)
    mov %rcx, 8(%rdi)
    mov %rdx, 16(%rdi)
    mov %rbx, 24(%rdi)
    mov %rbp, 40(%rdi)
    mov %rsi, 48(%rdi)
    mov %r8, 64(%rdi)
    mov %r9, 72(%rdi)
    mov %r10, 80(%rdi)
    mov %r11, 88(%rdi)
    mov %r12, 96(%rdi)
    mov %r13, 104(%rdi)
    mov %r14, 112(%rdi)
    mov %r15, 120(%rdi)
    pop 128(%rdi)
    pop %rax
    mov %rax, 56(%rdi)
    add $16, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
)");

namespace {
constexpr u64 kCf = 1, kPf = 4, kAf = 0x10, kZf = 0x40, kSf = 0x80, kOf = 0x800;
constexpr u64 kStatus = kCf | kPf | kAf | kZf | kSf | kOf;
constexpr u64 kOperandGpa = 0x10'0000; ///< where the emulated operand lies; the device answers
constexpr usize kWindow = 256, kMiddle = 128;

struct Bytes : MmioTarget {
    u8 at[kWindow];
    u64 read(Gpa gpa, u8 size) override {
        u64 v = 0;
        std::memcpy(&v, at + (gpa.raw - kOperandGpa), size);
        return v;
    }
    void write(Gpa gpa, u8 size, u64 v) override { std::memcpy(at + (gpa.raw - kOperandGpa), &v, size); }
};

struct Shape {
    char const* name;
    std::vector<u8> opcode;
    bool byte;         ///< 8-bit operands, no size prefixes
    int digit;         ///< ModRM.reg when it is an opcode extension, else −1
    int immediate;     ///< bytes; 4 means 2 or 4 by operand size
    u64 undefined = 0; ///< flags the manual leaves open
    bool bit_string = false;
    bool sized = true; ///< 66h and REX.W change the operand
};

std::vector<Shape> shapes() {
    std::vector<Shape> list;
    char const* const names[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
    for (u8 op = 0; op < 8; ++op) {
        u64 const open = op == 1 || op == 4 || op == 6 ? kAf : 0;
        u8 const base = static_cast<u8>(op * 8);
        for (u8 form = 0; form < 4; ++form) { // r/m8 r8, r/m r, r8 r/m8, r r/m
            list.push_back({names[op], {static_cast<u8>(base + form)}, form % 2 == 0, -1, 0, open});
        }
        list.push_back({names[op], {0x80}, true, op, 1, open});
        list.push_back({names[op], {0x81}, false, op, 4, open});
        list.push_back({names[op], {0x83}, false, op, 1, open});
    }
    for (bool const byte : {true, false}) {
        u8 const b = byte ? 0 : 1;
        auto const op = [b](u8 o) { return std::vector<u8>{static_cast<u8>(o + b)}; };
        list.push_back({"mov store", op(0x88), byte, -1, 0});
        list.push_back({"mov load", op(0x8a), byte, -1, 0});
        list.push_back({"mov imm", op(0xc6), byte, 0, byte ? 1 : 4});
        list.push_back({"test", op(0x84), byte, -1, 0, kAf});
        list.push_back({"test imm", op(0xf6), byte, 0, byte ? 1 : 4, kAf});
        list.push_back({"not", op(0xf6), byte, 2, 0});
        list.push_back({"neg", op(0xf6), byte, 3, 0});
        list.push_back({"inc", op(0xfe), byte, 0, 0});
        list.push_back({"dec", op(0xfe), byte, 1, 0});
        list.push_back({"xchg", op(0x86), byte, -1, 0});
        list.push_back({"xadd", {0x0f, static_cast<u8>(0xc0 + b)}, byte, -1, 0});
        list.push_back({"cmpxchg", {0x0f, static_cast<u8>(0xb0 + b)}, byte, -1, 0});
        list.push_back({"movzx", {0x0f, static_cast<u8>(0xb6 + b)}, false, -1, 0});
        list.push_back({"movsx", {0x0f, static_cast<u8>(0xbe + b)}, false, -1, 0});
    }
    list.push_back({"movsxd", {0x63}, false, -1, 0});
    u64 const open = kPf | kAf | kSf | kOf;
    u8 const bits[] = {0xa3, 0xab, 0xb3, 0xbb};
    for (u8 i = 0; i < 4; ++i) {
        list.push_back({"bt reg", {0x0f, bits[i]}, false, -1, 0, open, true});
        list.push_back({"bt imm", {0x0f, 0xba}, false, 4 + i, 1, open});
    }
    return list;
}
} // namespace

TEST_CASE("every emulated instruction does what this processor does", "[mmio][native]") {
    void* const page =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        WARN("no executable memory here: not compared with the processor");
        return;
    }
    std::mt19937_64 random{20260101};
    auto const operand = [&]() -> u64 { // corners as often as noise
        u64 const corners[] = {0, 1, ~0ull, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fff'ffff, 0x8000'0000, 1ull << 63};
        return random() % 2 != 0 ? corners[random() % std::size(corners)] : random();
    };
    FakeMemory memory{MiB};
    u64 const tables = identity_tables(memory);
    for (Shape const& shape : shapes()) {
        for (int round = 0; round < 150; ++round) {
            std::vector<u8> code;
            unsigned const width = shape.byte || !shape.sized ? 1 : random() % 3; // 0: 16, 1: 32, 2: 64 bits
            bool const extended = random() % 4 == 0;                              // R8–R15 as the register
            if (width == 0) code.push_back(0x66);
            if (width == 2 || extended)
                code.push_back(static_cast<u8>(0x40 | (width == 2 ? 8 : 0) | (extended ? 4 : 0)));
            code.insert(code.end(), shape.opcode.begin(), shape.opcode.end());
            u8 reg = static_cast<u8>(random() % 8);
            if (shape.digit >= 0) {
                reg = static_cast<u8>(shape.digit);
            } else if (!extended && (reg == 3 || reg == 4 || (shape.byte && reg == 7))) {
                reg = 2; // RBX is the pointer (BH too); RSP is not ours to use
            }
            code.push_back(static_cast<u8>(reg << 3 | 3)); // [rbx]
            int const immediate = shape.immediate == 4 && width == 0 ? 2 : shape.immediate;
            for (int i = 0; i < immediate; ++i)
                code.push_back(static_cast<u8>(operand() >> (8 * i)));

            NativeState native{};
            for (u64& r : native.registers)
                r = operand();
            if (shape.bit_string) {
                u64& index = native.registers[reg + (extended ? 8 : 0)];
                index = static_cast<u64>(static_cast<s64>(random() % 800) - 400);
            }
            native.rflags = 2 | (random() & kStatus);
            Bytes device;
            u8 buffer[kWindow];
            for (usize i = 0; i < kWindow; i += 8) {
                u64 const v = operand();
                std::memcpy(device.at + i, &v, 8);
            }
            std::memcpy(buffer, device.at, kWindow);

            FakeCpu cpu;
            cpu.long_mode(tables);
            for (unsigned i = 0; i < 16; ++i)
                cpu.registers[i] = native.registers[i];
            cpu[Reg::Rflags] = native.rflags;
            cpu[Reg::Rbx] = kOperandGpa + kMiddle;
            cpu[Reg::Rip] = 0x8000;
            std::memcpy(memory.ram.data() + 0x8000, code.data(), code.size());
            auto const emulated = emulate_mmio(cpu, memory, device);

            auto* const native_code = static_cast<u8*>(page);
            std::memcpy(native_code, code.data(), code.size());
            native_code[code.size()] = 0xc3;
            native.registers[3] = reinterpret_cast<u64>(buffer + kMiddle);
            ballast_run_native(&native, page);

            INFO(shape.name << " width " << width << " reg " << int{reg} << (extended ? "+8" : "")
                            << " round " << round);
            REQUIRE(emulated.ok());
            REQUIRE(emulated.value().advance_bytes == code.size());
            REQUIRE(std::memcmp(buffer, device.at, kWindow) == 0);
            for (unsigned i = 0; i < 16; ++i) {
                if (i != 3 && i != 4) {
                    INFO("register " << i);
                    REQUIRE(cpu.registers[i] == native.registers[i]);
                }
            }
            u64 const compared = kStatus & ~shape.undefined;
            REQUIRE((cpu[Reg::Rflags] & compared) == (native.rflags & compared));
        }
    }
    munmap(page, 4096);
}
#endif
