// SPDX-License-Identifier: Apache-2.0
#include "step_bed.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::debug;
using namespace hv::test;

namespace {
constexpr u64 kCode = StepBed::kCode, kStack = StepBed::kStack;
constexpr u16 kData = 0xc93, kCleanData = 0xc92; // 32-bit writable data; accessed, and not yet
} // namespace

TEST_CASE("STI sets IF and keeps interrupts off for one more instruction", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.code({0xfb});
    auto const first = bed.emulate();
    REQUIRE(first);
    CHECK(first->advance_bytes == 1);
    CHECK(first->interrupt_shadow);
    CHECK(bed.cpu[Reg::Rflags] == (2 | rflags::kInterrupt));
    CHECK(bed.cpu[Reg::Rip] == kCode); // advancing is the backend's
    auto const second = bed.emulate();
    REQUIRE(second);
    CHECK(!second->interrupt_shadow);
}

TEST_CASE("MOV SS loads the descriptor and marks it accessed", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.descriptor(0x20, 0x12345678, 0xabcde, kCleanData);
    bed.cpu[Reg::Rbx] = 0xffff'0020;
    bed.code({0x8e, 0xd3}); // MOV SS, EBX
    auto const done = bed.emulate();
    REQUIRE(done);
    CHECK(done->advance_bytes == 2);
    CHECK(done->interrupt_shadow);
    Segment const ss = bed.cpu[Seg::Ss];
    CHECK(ss.selector == 0x20);
    CHECK(ss.base == 0x12345678);
    CHECK(ss.limit == 0xabcdefff);
    CHECK(ss.attributes == kData);
    CHECK(bed.memory.get<u8>(StepBed::kGdt + 0x25) == 0x93);
}

TEST_CASE("MOV SS from memory takes 16 bits", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.descriptor(0x20, 0, 0xffff, 0x493);
    bed.memory.put<u32>(0x7000, 0xffff'0020);
    bed.code({0x8e, 0x15, 0x00, 0x70, 0x00, 0x00}); // MOV SS, [7000h]
    auto const done = bed.emulate();
    REQUIRE(done);
    CHECK(done->advance_bytes == 6);
    CHECK(bed.cpu[Seg::Ss].selector == 0x20);
    CHECK(bed.cpu[Seg::Ss].limit == 0xffff);
}

TEST_CASE("POP SS moves the stack pointer by the width of the stack it pops from", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.descriptor(0x20, 0, 0xffff, 0x093); // a 16-bit stack
    bed.memory.put<u32>(kStack, 0x20);
    bed.code({0x17});
    auto const wide = bed.emulate();
    REQUIRE(wide);
    CHECK(wide->advance_bytes == 1);
    CHECK(bed.cpu[Reg::Rsp] == kStack + 4);
    CHECK(bed.cpu[Seg::Ss].attributes == 0x093);

    bed.cpu[Reg::Rsp] = 0x1'fffe; // SP of 16 bits now
    bed.memory.put<u16>(0xfffe, 0x20);
    bed.code({0x66, 0x17});
    REQUIRE(bed.emulate());
    CHECK(bed.cpu[Reg::Rsp] == 0x1'0000);
}

TEST_CASE("real-mode loads of SS set its base alone", "[debug]") {
    StepBed bed;
    bed.real_mode();
    bed.cpu[Seg::Ss].limit = 0xffff'ffff; // left over from protected mode
    bed.cpu[Reg::Rax] = 0x1234;
    bed.code({0x8e, 0xd0});
    auto const done = bed.emulate();
    REQUIRE(done);
    CHECK(done->interrupt_shadow);
    CHECK(bed.cpu[Seg::Ss].selector == 0x1234);
    CHECK(bed.cpu[Seg::Ss].base == 0x12340);
    CHECK(bed.cpu[Seg::Ss].limit == 0xffff'ffff);
    CHECK(bed.cpu[Seg::Ss].attributes == 0x93);
}

TEST_CASE("64-bit kernels may load a null stack segment", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.code({0x8e, 0xd0});
    bed.cpu[Reg::Rax] = 0;
    REQUIRE(bed.emulate());
    CHECK(bed.cpu[Seg::Ss].selector == 0);
    CHECK((bed.cpu[Seg::Ss].attributes & segment::kPresent) == 0);
    bed.cpu[Reg::Rax] = 1; // RPL is not the CPL
    CHECK(!bed.emulate());
    bed.cpu.cpl_value = 3;
    bed.cpu[Reg::Rax] = 3;
    CHECK(!bed.emulate());
    bed.protected_mode();
    bed.cpu.cpl_value = 0;
    bed.cpu[Reg::Rax] = 0;
    CHECK(!bed.emulate());
}

TEST_CASE("a selector that the processor refuses is left to it", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.code({0x8e, 0xd0});
    bed.descriptor(0x20, 0, 0xfffff, 0xc93);
    bed.descriptor(0x28, 0, 0xfffff, 0xc91); // read-only
    bed.descriptor(0x30, 0, 0xfffff, 0xc9b); // code
    bed.descriptor(0x38, 0, 0xfffff, 0xc13); // not present
    bed.descriptor(0x40, 0, 0xfffff, 0xcf3); // DPL 3
    bed.descriptor(0x48, 0, 0xfffff, 0x083); // a system segment
    bed.cpu[Seg::Ldtr] = {};
    auto const loads = [&](u16 selector) {
        bed.cpu[Seg::Ss] = {0x10, 0xc93, 0xffff'ffff, 0};
        bed.cpu[Reg::Rax] = selector;
        bool const done = bed.emulate().has_value();
        CHECK(done == (bed.cpu[Seg::Ss].selector == selector));
        return done;
    };
    CHECK(loads(0x20));
    for (u16 bad : {0x23, 0x28, 0x30, 0x38, 0x40, 0x43, 0x48, 0x24, 0x80, 0xfff8})
        CHECK(!loads(bad));
    bed.cpu.cpl_value = 3;
    CHECK(loads(0x43));
    CHECK(!loads(0x40));
}

TEST_CASE("a stack segment that cannot be read changes nothing", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.system.gdtr = {0x3000'0000, 0xff}; // outside RAM
    bed.memory.put<u32>(kStack, 0x20);
    bed.code({0x17});
    CHECK(!bed.emulate());
    CHECK(bed.cpu[Reg::Rsp] == kStack);
    bed.memory.ballooned.insert(kStack / kPageBytes);
    CHECK(!bed.emulate());
}

TEST_CASE("the guest's own single step waits behind MOV SS as well", "[debug]") {
    StepBed bed;
    bed.real_mode();
    bed.cpu[Reg::Rflags] |= rflags::kTrap;
    bed.code({0x8e, 0xd0});
    auto const done = bed.emulate();
    REQUIRE(done);
    CHECK(done->advance_bytes == 0);
    CHECK(bed.cpu[Reg::Rip] == kCode + 2);
}

TEST_CASE("INT n of real mode pushes a frame and goes to its handler", "[debug]") {
    StepBed bed;
    bed.real_mode(0x4000);
    bed.start.breakpoints_ignore_cs_base = true;
    bed.memory.put<u32>(4 * 0x10, 0xf000'1234);
    bed.cpu[Reg::Rflags] = 0x4'0302 | rflags::kCarry; // AC, IF, TF
    bed.code({0xcd, 0x10});
    auto const done = bed.emulate();
    REQUIRE(done);
    CHECK(done->advance_bytes == 0);
    CHECK(!done->interrupt_shadow);
    CHECK(bed.cpu[Reg::Rip] == 0x1234);
    CHECK(bed.cpu[Seg::Cs].selector == 0xf000);
    CHECK(bed.cpu[Seg::Cs].base == 0xf0000);
    CHECK(bed.cpu[Reg::Rsp] == kStack - 6);
    CHECK(bed.memory.get<u16>(kStack - 2) == 0x303);
    CHECK(bed.memory.get<u16>(kStack - 4) == 0x400);
    CHECK(bed.memory.get<u16>(kStack - 6) == kCode - 0x4000 + 2);
    CHECK(bed.cpu[Reg::Rflags] == 3);
}

TEST_CASE("a frame that does not fit is left to the processor", "[debug]") {
    StepBed bed;
    bed.real_mode(0x4000);
    bed.start.breakpoints_ignore_cs_base = true;
    bed.memory.put<u32>(4 * 0x10, 0xf000'1234);
    bed.code({0xcd, 0x10});
    bed.cpu[Reg::Rsp] = 4; // wraps
    CHECK(!bed.emulate());
    bed.cpu[Reg::Rsp] = kStack;
    bed.cpu[Seg::Ss].limit = kStack - 2;
    CHECK(!bed.emulate());
    bed.cpu[Seg::Ss] = {0, 0x93, 0xffff, 0x3000'0000};
    CHECK(!bed.emulate());
    CHECK(bed.cpu[Reg::Rsp] == kStack);
    CHECK(bed.cpu[Reg::Rip] == kCode - 0x4000);
}

TEST_CASE("an ordinary instruction is not emulated", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.code({0x90});
    CHECK(!bed.emulate());
}
