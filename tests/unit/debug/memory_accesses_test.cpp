// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/memory_accesses.hpp"
#include "step_bed.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::test;

namespace {
constexpr u64 kStack = StepBed::kStack;
enum Way { kRead = 1, kWrite = 2, kBoth = 3 };
struct Expected {
    u64 linear;
    u32 bytes;
    Way way;
};

struct Bed : StepBed {
    bool complete = true;
    /// Whether the instruction accesses just these, in any order.
    bool accesses(std::initializer_list<u8> bytes, std::initializer_list<Expected> expected) {
        code(bytes);
        auto const fetched = decode::fetch_code(cpu, memory);
        REQUIRE(fetched.ok());
        decode::MemoryAccesses const found = decode::memory_accesses(cpu, fetched.value());
        complete = found.complete;
        unsigned matched = 0;
        for (Expected const& e : expected) {
            for (decode::MemoryAccess const& a : found.span()) {
                matched += a.linear == e.linear && a.bytes == e.bytes && a.read == ((e.way & kRead) != 0) &&
                           a.write == ((e.way & kWrite) != 0);
            }
        }
        return matched == expected.size() && found.count == expected.size();
    }
};
} // namespace

TEST_CASE("operands are accessed where their addresses say", "[debug]") {
    Bed bed;
    bed.long_mode();
    bed.cpu[Reg::Rax] = 0x10000;
    bed.cpu[Reg::Rcx] = 0x20;
    bed.cpu[Seg::Gs].base = 0x5000;
    CHECK(bed.accesses({0x48, 0x8b, 0x44, 0x88, 0x10}, {{0x10090, 8, kRead}})); // MOV RAX, [RAX+RCX*4+10h]
    CHECK(bed.accesses({0x65, 0x88, 0x00}, {{0x15000, 1, kWrite}}));            // MOV GS:[RAX], AL
    CHECK(bed.accesses({0x66, 0x83, 0x00, 1}, {{0x10000, 2, kBoth}}));          // ADD WORD [RAX], 1
    CHECK(bed.accesses({0x39, 0x00}, {{0x10000, 4, kRead}}));                   // CMP
    CHECK(bed.accesses({0x8b, 0x05, 0x10, 0, 0, 0}, {{0x8016, 4, kRead}}));     // RIP-relative
    CHECK(bed.accesses({0x48, 0x0f, 0xc7, 0x08}, {{0x10000, 16, kBoth}}));      // CMPXCHG16B
    CHECK(bed.accesses({0x0f, 0xae, 0x00}, {{0x10000, 512, kWrite}}));          // FXSAVE
    CHECK(bed.accesses({0x0f, 0x29, 0x00}, {{0x10000, 16, kWrite}}));           // MOVAPS
    CHECK(bed.complete);
    CHECK(bed.accesses({0x90}, {}));
    CHECK(bed.accesses({0x48, 0x8d, 0x00}, {})); // LEA
    CHECK(bed.accesses({0x0f, 0x1f, 0x00}, {})); // NOP
    CHECK(bed.accesses({0x0f, 0x18, 0x08}, {})); // PREFETCH
    CHECK(bed.accesses({0x0f, 0x01, 0x38}, {})); // INVLPG
    CHECK(bed.complete);
}

TEST_CASE("stack instructions access what is below or above the stack pointer", "[debug]") {
    Bed bed;
    bed.long_mode();
    bed.cpu[Reg::Rax] = 0x10000;
    bed.cpu[Reg::Rbp] = 0x9100;
    CHECK(bed.accesses({0x50}, {{kStack - 8, 8, kWrite}}));
    CHECK(bed.accesses({0x66, 0x50}, {{kStack - 2, 2, kWrite}}));
    CHECK(bed.accesses({0x58}, {{kStack, 8, kRead}}));
    CHECK(bed.accesses({0x9c}, {{kStack - 8, 8, kWrite}}));
    CHECK(bed.accesses({0x9d}, {{kStack, 8, kRead}}));
    CHECK(bed.accesses({0xff, 0x30}, {{0x10000, 8, kRead}, {kStack - 8, 8, kWrite}}));      // PUSH [RAX]
    CHECK(bed.accesses({0x8f, 0x04, 0x24}, {{kStack, 8, kRead}, {kStack + 8, 8, kWrite}})); // POP [RSP]
    CHECK(bed.accesses({0x8f, 0x00}, {{kStack, 8, kRead}, {0x10000, 8, kWrite}}));
    CHECK(bed.accesses({0xe8, 0, 0, 0, 0}, {{kStack - 8, 8, kWrite}}));
    CHECK(bed.accesses({0xff, 0x10}, {{0x10000, 8, kRead}, {kStack - 8, 8, kWrite}}));
    CHECK(bed.accesses({0xff, 0x18}, {{0x10000, 6, kRead}, {kStack - 8, 8, kWrite}})); // far CALL: 2 x 4
    CHECK(bed.accesses({0xc3}, {{kStack, 8, kRead}}));
    CHECK(bed.accesses({0xc2, 0x10, 0}, {{kStack, 8, kRead}}));
    CHECK(bed.accesses({0xcb}, {{kStack, 8, kRead}}));
    CHECK(bed.accesses({0xc9}, {{0x9100, 8, kRead}}));                  // LEAVE
    CHECK(bed.accesses({0xc8, 0x10, 0, 0}, {{kStack - 8, 8, kWrite}})); // ENTER
    CHECK(bed.accesses({0x48, 0xcf}, {{kStack, 40, kRead}}));
    CHECK(bed.complete);
    bed.protected_mode();
    CHECK(bed.accesses({0x60}, {{kStack - 32, 32, kWrite}})); // PUSHAD
    CHECK(bed.accesses({0x61}, {{kStack, 32, kRead}}));
    CHECK(bed.accesses({0x17}, {{kStack, 4, kRead}}));
}

TEST_CASE("segments and widths of 16-bit code count", "[debug]") {
    Bed bed;
    bed.real_mode();
    bed.cpu[Seg::Ss].base = 0x10000;
    bed.cpu[Seg::Ds].base = 0x20000;
    bed.cpu[Seg::Es].base = 0x30000;
    bed.cpu[Reg::Rsp] = 0xffff'0000; // SP = 0: a push wraps
    bed.cpu[Reg::Rbx] = 0xffff;
    bed.cpu[Reg::Rsi] = 0x11;
    CHECK(bed.accesses({0x50}, {{0x1fffe, 2, kWrite}}));
    CHECK(bed.accesses({0x8a, 0x00}, {{0x20010, 1, kRead}}));  // MOV AL, [BX+SI] wraps
    CHECK(bed.accesses({0x67, 0x50}, {{0x1fffe, 2, kWrite}})); // the address size is not the stack's
    bed.cpu[Reg::Rbx] = 0x100;
    bed.cpu[Reg::Rax] = 0x1208;
    CHECK(bed.accesses({0xd7}, {{0x20108, 1, kRead}})); // XLAT
    bed.cpu[Reg::Rdi] = 0x22;
    CHECK(bed.accesses({0xa5}, {{0x20011, 2, kRead}, {0x30022, 2, kWrite}}));
    CHECK(bed.accesses({0x36, 0xa4}, {{0x10011, 1, kRead}, {0x30022, 1, kWrite}})); // SS override
}

TEST_CASE("a repeated string instruction tells the element that it is at", "[debug]") {
    Bed bed;
    bed.long_mode();
    bed.cpu[Reg::Rsi] = 0x10000;
    bed.cpu[Reg::Rdi] = 0x20000;
    bed.cpu[Reg::Rcx] = 5;
    CHECK(bed.accesses({0xf3, 0x48, 0xa5}, {{0x10000, 8, kRead}, {0x20000, 8, kWrite}}));
    CHECK(bed.accesses({0xf3, 0xaa}, {{0x20000, 1, kWrite}}));
    CHECK(bed.accesses({0xf2, 0xae}, {{0x20000, 1, kRead}}));
    CHECK(bed.accesses({0xf3, 0xa6}, {{0x10000, 1, kRead}, {0x20000, 1, kRead}}));
    bed.cpu[Reg::Rcx] = 0x1'0000'0000;
    CHECK(bed.accesses({0xf3, 0xaa}, {{0x20000, 1, kWrite}}));
    CHECK(bed.accesses({0x67, 0xf3, 0xaa}, {})); // ECX is 0
    CHECK(bed.accesses({0x67, 0xaa}, {{0x20000, 1, kWrite}}));
    CHECK(bed.complete);
}

TEST_CASE("bit strings reach beyond their operand", "[debug]") {
    Bed bed;
    bed.long_mode();
    bed.cpu[Reg::Rax] = 0x10000;
    bed.cpu[Reg::Rcx] = 200;
    CHECK(bed.accesses({0x48, 0x0f, 0xab, 0x08}, {{0x10018, 8, kBoth}})); // BTS [RAX], RCX
    bed.cpu[Reg::Rcx] = ~0ull;
    CHECK(bed.accesses({0x0f, 0xa3, 0x08}, {{0xfffc, 4, kRead}}));        // BT [RAX], ECX = -1
    CHECK(bed.accesses({0x0f, 0xba, 0x28, 0xff}, {{0x10000, 4, kBoth}})); // BTS [RAX], 255
}

TEST_CASE("what is not told in full is said to be so", "[debug]") {
    Bed bed;
    bed.long_mode();
    for (auto const& code : std::initializer_list<std::initializer_list<u8>>{
             {0xc4, 0xe2, 0x75, 0x90, 0x04, 0x10}, // VPGATHERDD
             {0x0f, 0xae, 0x20},                   // XSAVE
             {0x0f, 0xae, 0x28},                   // XRSTOR
             {0x48, 0x0f, 0xae, 0x30},             // XSAVEOPT
             {0xcd, 0x80},
             {0xc8, 0x10, 0, 2}, // ENTER with a level
             {0x06},             // #UD
         }) {
        bed.accesses(code, {});
        CHECK(!bed.complete);
    }
}

TEST_CASE("an access that will fault is left out", "[debug]") {
    Bed bed;
    bed.protected_mode();
    bed.cpu[Seg::Ds].limit = 0xff;
    bed.cpu[Reg::Rax] = 0x100;
    CHECK(bed.accesses({0xff, 0x30}, {{kStack - 4, 4, kWrite}}));
}
