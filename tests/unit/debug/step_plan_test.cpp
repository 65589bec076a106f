// SPDX-License-Identifier: Apache-2.0
#include "step_bed.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::debug;
using namespace hv::test;

namespace {
constexpr u64 kCode = StepBed::kCode, kStack = StepBed::kStack;
using Instruction = decode::StepInstruction::Kind;

bool fixes(StepPlan const& plan, Instruction kind, bool trap_flag) {
    return plan.kind == PlanKind::Fix && plan.instruction.kind == kind && plan.guest_trap_flag == trap_flag;
}
bool emulates(StepPlan const& plan, Instruction kind) {
    return plan.kind == PlanKind::Emulate && plan.instruction.kind == kind;
}
Event exception(u8 vector) {
    return {Event::Type::Exception, vector, false, 0};
}
} // namespace

TEST_CASE("ordinary instructions and those that exit are stepped natively", "[debug]") {
    StepBed bed;
    bed.long_mode();
    for (auto const& code : std::initializer_list<std::initializer_list<u8>>{
             {0x90},                   // NOP
             {0x48, 0x89, 0xd8},       // MOV
             {0xf4},                   // HLT
             {0x0f, 0xa2},             // CPUID
             {0x0f, 0x30},             // WRMSR
             {0xe4, 0x60},             // IN
             {0xfa},                   // CLI
             {0xf1},                   // INT1
             {0xa4},                   // MOVSB, once
             {0xf3, 0x90},             // PAUSE
             {0xf3, 0x0f, 0xb8, 0xc0}, // POPCNT
             {0x0f, 0xb2, 0x20},       // LSS: delays nothing
             {0x8e, 0xd8},             // MOV DS
             {0xc3},
             {0xcb},
             {0xff, 0x28},       // far JMP
             {0xc5, 0xf8, 0x77}, // VEX
         }) {
        CHECK(bed.plan(code).kind == PlanKind::Native);
    }
}

TEST_CASE("the quick look calls nothing ordinary that is not", "[debug]") {
    StepBed bed;
    bed.long_mode();
    decode::Code code;
    code.count = sizeof code.bytes;
    u32 ordinary = 0, quickly = 0;
    for (u32 first = 0; first < 0x100; ++first) {
        for (u32 second = 0; second < 0x100; ++second) {
            for (u8 const third : {0x00, 0x05, 0x07, 0x34, 0x35, 0x90, 0x9c, 0xcf, 0xd0, 0xfb}) {
                code.bytes[0] = static_cast<u8>(first), code.bytes[1] = static_cast<u8>(second);
                code.bytes[2] = third;
                bool const is = decode::step_instruction(bed.cpu, code).kind == Instruction::Ordinary;
                bool const looks = decode::looks_ordinary(code.bytes);
                if (looks && !is) FAIL(first << ' ' << second << ' ' << +third);
                ordinary += is, quickly += looks;
            }
        }
    }
    CHECK(quickly > ordinary / 10 * 9);
}

TEST_CASE("what raises #UD is stepped natively", "[debug]") {
    StepBed bed;
    bed.long_mode();
    CHECK(bed.plan({0xf0, 0x9c}).kind == PlanKind::Native); // LOCK PUSHF
    CHECK(bed.plan({0x17}).kind == PlanKind::Native);       // POP SS in 64-bit mode
    CHECK(bed.plan({0xce}).kind == PlanKind::Native);       // INTO in 64-bit mode
    CHECK(bed.plan({0x06}).kind == PlanKind::Native);
}

TEST_CASE("what cannot be fetched is stepped natively", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.cpu[Reg::Rip] = 0xffff'8000'0000'0000;
    CHECK(bed.plan().kind == PlanKind::Native);
    bed.cpu[Reg::Rip] = 0x2000'0000; // outside RAM
    CHECK(bed.plan().kind == PlanKind::Native);
    bed.cpu[Reg::Rip] = kCode;
    bed.memory.ballooned.insert(kCode / kPageBytes);
    CHECK(bed.plan().kind == PlanKind::Native);
}

TEST_CASE("with a monitor trap flag only repeated string instructions are special", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.start.steps_exactly = true;
    for (auto const& code : std::initializer_list<std::initializer_list<u8>>{{0x9c},
                                                                             {0x9d},
                                                                             {0x48, 0xcf},
                                                                             {0xcd, 0x80},
                                                                             {0xcc},
                                                                             {0x0f, 0x05},
                                                                             {0x48, 0x0f, 0x07},
                                                                             {0x0f, 0x34},
                                                                             {0xfb},
                                                                             {0x8e, 0xd0}}) {
        CHECK(bed.plan(code).kind == PlanKind::Native);
    }
    CHECK(runs_to(bed.plan({0xf3, 0xa4}), kCode + 2));
    bed.start.waiting = exception(14);
    CHECK(bed.plan().kind == PlanKind::Native);
}

TEST_CASE("repeated string instructions run up to the one behind them", "[debug]") {
    StepBed bed;
    bed.long_mode();
    CHECK(runs_to(bed.plan({0xf3, 0x48, 0xab}), kCode + 3));             // REP STOSQ
    CHECK(runs_to(bed.plan({0xf2, 0xae}), kCode + 2));                   // REPNE SCASB
    CHECK(runs_to(bed.plan({0xf3, 0x6c}), kCode + 2));                   // REP INSB
    CHECK(runs_to(bed.plan({0x67, 0x65, 0xf3, 0x66, 0xa5}), kCode + 5)); // prefixes in any order
    bed.real_mode(0x4000);
    CHECK(runs_to(bed.plan({0xf3, 0xa4}), kCode + 2));
    bed.start.breakpoints_ignore_cs_base = true;
    CHECK(bed.plan({0xf3, 0xa4}).kind == PlanKind::Repeat);
    bed.start.steps_exactly = true;
    CHECK(bed.plan({0xf3, 0xa4}).kind == PlanKind::Repeat);
    bed.real_mode(0);
    CHECK(runs_to(bed.plan({0xf3, 0xa4}), kCode + 2));
}

TEST_CASE("PUSHF and POPF run up to the instruction behind them", "[debug]") {
    StepBed bed;
    bed.long_mode();
    CHECK(runs_to(bed.plan({0x9c}), kCode + 1));
    CHECK(runs_to(bed.plan({0x66, 0x9d}), kCode + 2));
    bed.protected_mode();
    bed.cpu[Seg::Cs].base = 0x1000;
    bed.cpu[Reg::Rip] = kCode - 0x1000;
    CHECK(runs_to(bed.plan({0x9c}), kCode + 1));
    bed.cpu[Seg::Cs].base = 0xffff'f000; // wraps
    bed.cpu[Reg::Rip] = kCode + 0x1000;
    CHECK(runs_to(bed.plan({0x9d}), kCode + 1));
}

TEST_CASE("where code breakpoints ignore CS.base the flags of PUSHF and POPF are put right", "[debug]") {
    StepBed bed;
    bed.real_mode(0x4000);
    bed.start.breakpoints_ignore_cs_base = true;
    CHECK(fixes(bed.plan({0x9c}), Instruction::PushFlags, false));
    bed.cpu[Reg::Rflags] |= rflags::kTrap;
    CHECK(fixes(bed.plan({0x9c}), Instruction::PushFlags, true));
    CHECK(fixes(bed.plan({0x9d}), Instruction::PopFlags, false));
    bed.memory.put<u16>(kStack, 0x102);
    CHECK(fixes(bed.plan({0x9d}), Instruction::PopFlags, true));
    bed.cpu[Seg::Ss].base = 0x100; // reads SS:SP
    CHECK(fixes(bed.plan({0x9d}), Instruction::PopFlags, false));
}

TEST_CASE("the image that PUSHF stored loses our trap flag but not the guest's", "[debug]") {
    StepBed bed;
    bed.real_mode(0x4000);
    bed.start.breakpoints_ignore_cs_base = true;
    StepPlan plan = bed.plan({0x9c});
    bed.cpu[Reg::Rsp] -= 2;
    bed.memory.put<u32>(kStack - 2, 0xffff'ffff);
    finish_step(bed.cpu, bed.memory, plan);
    CHECK(bed.memory.get<u32>(kStack - 2) == 0xffff'feff);
    plan.guest_trap_flag = true;
    bed.memory.put<u32>(kStack - 2, 0xffff'ffff);
    finish_step(bed.cpu, bed.memory, plan);
    CHECK(bed.memory.get<u32>(kStack - 2) == 0xffff'ffff);
}

TEST_CASE("IRET leaves the trap flag that was in its image", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.memory.put<u64>(kStack + 16, 0x302);
    CHECK(fixes(bed.plan({0x48, 0xcf}), Instruction::InterruptReturn, true));
    bed.memory.put<u64>(kStack + 16, 0x202);
    CHECK(fixes(bed.plan({0x48, 0xcf}), Instruction::InterruptReturn, false));
    bed.memory.put<u32>(kStack + 8, 0x100); // IRETD
    CHECK(fixes(bed.plan({0xcf}), Instruction::InterruptReturn, true));
    bed.memory.put<u16>(kStack + 4, 0x100); // IRET of 16 bits
    CHECK(fixes(bed.plan({0x66, 0xcf}), Instruction::InterruptReturn, true));
    bed.real_mode();
    CHECK(fixes(bed.plan({0xcf}), Instruction::InterruptReturn, true));
    bed.cpu[Reg::Rsp] = 0x1'0000 - 4; // the stack of 16 bits wraps
    bed.memory.put<u16>(0, 0x100);
    CHECK(fixes(bed.plan({0xcf}), Instruction::InterruptReturn, true));
    StepPlan const plan = bed.plan();
    finish_step(bed.cpu, bed.memory, plan);
    CHECK((bed.cpu[Reg::Rflags] & rflags::kTrap) != 0);
    bed.memory.put<u16>(0, 0);
    finish_step(bed.cpu, bed.memory, bed.plan());
    CHECK((bed.cpu[Reg::Rflags] & rflags::kTrap) == 0);
}

TEST_CASE("IRET without a readable image, or out of a nested task, is stepped natively", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.cpu[Reg::Rsp] = 0x3000'0000;
    CHECK(bed.plan({0x48, 0xcf}).kind == PlanKind::Native);
    bed.protected_mode();
    bed.cpu[Reg::Rsp] = kStack;
    CHECK(bed.plan({0xcf}).kind == PlanKind::Fix);
    bed.cpu[Reg::Rflags] |= 1u << 14;
    CHECK(bed.plan({0xcf}).kind == PlanKind::Native);
}

TEST_CASE("system calls run up to their entry points", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.system[StateMsr::IA32_LSTAR] = 0xffff'ffff'8100'0000;
    bed.system[StateMsr::IA32_CSTAR] = 0xffff'ffff'8100'1000;
    bed.system[StateMsr::IA32_STAR] = 0x0023'0010'c000'0000;
    CHECK(bed.plan({0x0f, 0x05}).kind == PlanKind::Native); // EFER.SCE is clear
    bed.cpu.efer_value |= efer::kSce;
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'0000));
    bed.cpu[Seg::Cs].attributes = 0xc9b;
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'1000));
    bed.protected_mode();
    bed.cpu.efer_value = efer::kSce;
    CHECK(runs_to(bed.plan(), 0xc000'0000));
}

TEST_CASE("returns from system calls run up to their targets", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.cpu[Reg::Rcx] = 0x7fff'1234'5678;
    bed.cpu[Reg::Rdx] = 0x7fff'8765'4321;
    CHECK(runs_to(bed.plan({0x48, 0x0f, 0x07}), 0x7fff'1234'5678));
    CHECK(runs_to(bed.plan({0x0f, 0x07}), 0x1234'5678));
    CHECK(runs_to(bed.plan({0x48, 0x0f, 0x35}), 0x7fff'8765'4321));
    CHECK(runs_to(bed.plan({0x0f, 0x35}), 0x8765'4321));
    bed.cpu.cpl_value = 3;
    CHECK(bed.plan({0x0f, 0x35}).kind == PlanKind::Native);
}

TEST_CASE("SYSENTER runs up to its entry point", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.system[StateMsr::IA32_SYSENTER_EIP] = 0xffff'ffff'8100'2000;
    CHECK(bed.plan({0x0f, 0x34}).kind == PlanKind::Native); // #GP
    bed.system[StateMsr::IA32_SYSENTER_CS] = 0x10;
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'2000));
    bed.protected_mode();
    CHECK(runs_to(bed.plan(), 0x8100'2000));
}

TEST_CASE("software interrupts of 64-bit and 32-bit code run up to their handlers", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.gate(0x80, 0xffff'ffff'8100'3000, 8, 0xe, 3);
    bed.gate(3, 0xffff'ffff'8100'4000, 8, 0xf, 3);
    bed.gate(13, 0xffff'ffff'8100'5000);
    CHECK(runs_to(bed.plan({0xcd, 0x80}), 0xffff'ffff'8100'3000));
    CHECK(runs_to(bed.plan({0xcc}), 0xffff'ffff'8100'4000));
    CHECK(runs_to(bed.plan({0xcd, 0x03}), 0xffff'ffff'8100'4000));
    CHECK(runs_to(bed.plan({0xcd, 13}), 0xffff'ffff'8100'5000));
    bed.cpu.cpl_value = 3;
    CHECK(runs_to(bed.plan({0xcd, 0x80}), 0xffff'ffff'8100'3000));
    CHECK(bed.plan({0xcd, 13}).kind == PlanKind::Native); // #GP: the gate is not for user code

    bed.compatibility_mode();
    CHECK(runs_to(bed.plan({0xcd, 0x80}), 0xffff'ffff'8100'3000));
}

TEST_CASE("gates that will fault make INT n native", "[debug]") {
    StepBed bed;
    bed.long_mode();
    CHECK(bed.plan({0xcd, 0x80}).kind == PlanKind::Native); // nothing there
    bed.gate(0x80, 0x1234, 8, 0x6);                         // a 16-bit gate in long mode
    CHECK(bed.plan().kind == PlanKind::Native);
    bed.gate(0x80, 0x1234);
    CHECK(runs_to(bed.plan(), 0x1234));
    bed.system.idtr.limit = 0x80f - 1;
    CHECK(bed.plan().kind == PlanKind::Native);
    bed.system.idtr.limit = 0x80f;
    CHECK(runs_to(bed.plan(), 0x1234));
    bed.memory.put<u8>(StepBed::kIdt + 0x805, 0x0e); // not present
    CHECK(bed.plan().kind == PlanKind::Native);
}

TEST_CASE("gates of protected mode lead through the segment they name", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.descriptor(0x08, 0, 0xfffff, 0xc9b);
    bed.descriptor(0x18, 0x0012'3000, 0xffff, 0x09b);
    bed.gate(0x21, 0xc012'3456, 8, 0xe);
    bed.gate(0x22, 0xffff'1111, 0x18, 0x7); // 16-bit trap gate: offset of 16 bits
    bed.gate(0x23, 0, 0x30, 0x5);           // task gate
    bed.gate(0x24, 0x1000, 0x80, 0xe);      // beyond the GDT
    bed.gate(0x25, 0x1000, 0x0c, 0xe);      // LDT, of which there is none
    CHECK(runs_to(bed.plan({0xcd, 0x21}), 0xc012'3456));
    CHECK(runs_to(bed.plan({0xcd, 0x22}), 0x0012'4111));
    CHECK(bed.plan({0xcd, 0x23}).kind == PlanKind::Native);
    CHECK(bed.plan({0xcd, 0x24}).kind == PlanKind::Native);
    bed.cpu[Seg::Ldtr] = {};
    CHECK(bed.plan({0xcd, 0x25}).kind == PlanKind::Native);
    bed.cpu[Seg::Ldtr] = {0x28, 0x82, 0xf, StepBed::kGdt + 0x40};
    bed.descriptor(0x48, 0xff00'0000, 0xfffff, 0xc9b); // the LDT's second
    CHECK(runs_to(bed.plan({0xcd, 0x25}), 0xff00'1000));
    bed.start.breakpoints_ignore_cs_base = true;
    CHECK(runs_to(bed.plan({0xcd, 0x21}), 0xc012'3456));
    CHECK(!bed.plan({0xcd, 0x22}).breakpoint_works);
    CHECK(bed.plan().reachable);
    bed.descriptor(0x18, 0x7000, 0xffff, 0x09b); // the handler on this instruction's page
    CHECK(!bed.plan().reachable);
}

TEST_CASE("INTO goes somewhere only with OF set", "[debug]") {
    StepBed bed;
    bed.protected_mode();
    bed.descriptor(0x08, 0, 0xfffff, 0xc9b);
    bed.gate(4, 0x4444);
    CHECK(bed.plan({0xce}).kind == PlanKind::Native);
    bed.cpu[Reg::Rflags] |= 1u << 11;
    CHECK(runs_to(bed.plan(), 0x4444));
}

TEST_CASE("software interrupts of real mode go through the vector table", "[debug]") {
    StepBed bed;
    bed.real_mode(0x4000);
    bed.memory.put<u32>(4 * 0x10, 0xf000'1234);
    bed.memory.put<u32>(4 * 0x11, 0x0000'1234);
    CHECK(runs_to(bed.plan({0xcd, 0x10}), 0xf1234));
    bed.start.breakpoints_ignore_cs_base = true;
    CHECK(emulates(bed.plan({0xcd, 0x10}), Instruction::SoftwareInterrupt));
    CHECK(runs_to(bed.plan({0xcd, 0x11}), 0x1234)); // a handler without a base
    bed.system.idtr.limit = 0x42;
    CHECK(bed.plan({0xcd, 0x10}).kind == PlanKind::Native);
    bed.system.idtr.limit = 0x43;
    CHECK(bed.plan({0xcd, 0x10}).kind == PlanKind::Emulate);
}

TEST_CASE("virtual-8086 code interrupts through the IDT if it may", "[debug]") {
    StepBed bed;
    bed.virtual_8086(3);
    bed.descriptor(0x08, 0, 0xfffff, 0xc9b);
    bed.gate(0x10, 0xc000'1000, 8, 0xe, 3);
    bed.gate(3, 0xc000'3000, 8, 0xe, 3);
    bed.memory.put<u32>(4 * 0x10, 0x0200'0010);
    CHECK(runs_to(bed.plan({0xcd, 0x10}), 0xc000'1000));
    bed.virtual_8086(0);
    CHECK(bed.plan({0xcd, 0x10}).kind == PlanKind::Native); // #GP
    CHECK(runs_to(bed.plan({0xcc}), 0xc000'3000));          // INT3 does not ask IOPL
    // VME: the bit of the vector, below the I/O map, decides.
    constexpr u64 kTss = 0xc000;
    bed.cpu[Seg::Tr].base = kTss;
    bed.cpu.control[3] = 1;
    bed.memory.put<u16>(kTss + 0x66, 0x88);
    CHECK(runs_to(bed.plan({0xcd, 0x10}), 0x2010));
    bed.memory.put<u8>(kTss + 0x68 + 2, 0x01);
    CHECK(bed.plan({0xcd, 0x10}).kind == PlanKind::Native);
}

TEST_CASE("the event that waits is delivered up to its handler", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.gate(14, 0xffff'ffff'8100'6000);
    bed.gate(0x30, 0xffff'ffff'8100'7000);
    bed.gate(2, 0xffff'ffff'8100'8000);
    bed.cpu.cpl_value = 3; // exceptions use gates that INT n may not
    bed.code({0xf3, 0xa4});
    bed.start.waiting = exception(14);
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'6000));
    bed.start.waiting = Event{Event::Type::External, 0x30, false, 0};
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'7000));
    bed.start.waiting = Event{Event::Type::Nmi, 0, false, 0};
    CHECK(runs_to(bed.plan(), 0xffff'ffff'8100'8000));
    bed.start.waiting = exception(13);
    CHECK(bed.plan().kind == PlanKind::RunTo);
    CHECK(!bed.plan().reachable);
}

TEST_CASE("a handler with a CS.base is reached by its page where breakpoints ignore that", "[debug]") {
    StepBed bed;
    bed.real_mode();
    bed.memory.put<u32>(4 * 8, 0xf000'fea5);
    bed.start.waiting = Event{Event::Type::External, 8, false, 0};
    CHECK(runs_to(bed.plan(), 0xffea5));
    bed.start.breakpoints_ignore_cs_base = true;
    StepPlan const plan = bed.plan();
    CHECK(plan.kind == PlanKind::RunTo);
    CHECK(plan.address == 0xffea5);
    CHECK(plan.reachable);
    CHECK(!plan.breakpoint_works);
}

TEST_CASE("STI is emulated where it sets IF", "[debug]") {
    StepBed bed;
    bed.long_mode();
    CHECK(emulates(bed.plan({0xfb}), Instruction::SetInterrupts));
    bed.cpu.cpl_value = 3;
    CHECK(bed.plan().kind == PlanKind::Native); // #GP
    bed.cpu[Reg::Rflags] |= 3u << 12;
    CHECK(bed.plan().kind == PlanKind::Emulate);
    bed.real_mode();
    bed.cpu.cpl_value = 0;
    CHECK(bed.plan().kind == PlanKind::Emulate);
    bed.virtual_8086(0);
    CHECK(bed.plan().kind == PlanKind::Native);
}

TEST_CASE("loads of the stack segment are emulated", "[debug]") {
    StepBed bed;
    bed.long_mode();
    bed.cpu[Reg::Rax] = 0x7000;
    StepPlan plan = bed.plan({0x8e, 0xd0});
    CHECK(emulates(plan, Instruction::MovToStackSegment));
    CHECK(!plan.instruction.from_memory);
    plan = bed.plan({0x8e, 0x50, 0x10}); // MOV SS, [RAX + 10h]
    CHECK(emulates(plan, Instruction::MovToStackSegment));
    CHECK(plan.instruction.from_memory);
    CHECK(plan.instruction.linear == 0x7010);
    bed.protected_mode();
    plan = bed.plan({0x17});
    CHECK(emulates(plan, Instruction::PopStackSegment));
    CHECK(plan.instruction.linear == kStack);
    CHECK(plan.instruction.stack_operand);
    bed.cpu[Seg::Ss].limit = 0x100;
    CHECK(bed.plan().kind == PlanKind::Native); // #SS
    bed.cpu[Seg::Ds].limit = 0x100;
    CHECK(bed.plan({0x8e, 0x50, 0x10}).kind == PlanKind::Native); // #GP
}
