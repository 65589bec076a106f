// SPDX-License-Identifier: Apache-2.0
// The instructions that delay the trap behind them, carried out here instead: STI, MOV SS, POP SS; and INT n
// in real mode where its handler cannot have a breakpoint.
#include "hv/base/bits.hpp"
#include "hv/debug/guest_tables.hpp"
#include "hv/debug/segment_load.hpp"

namespace hv::debug {
namespace {
using decode::StepInstruction;
constexpr u16 kAccessed = 0x1;

struct Emulator {
    CpuView& cpu;
    GuestAccess& memory;
    SystemView& system;
    StepInstruction const& i;
    CodeMode mode;
    EmulatedStep done = {};

    bool load_stack_segment();
    bool set_interrupts();
    bool interrupt();

  private:
    /// As the processor would, with its permissions. @return false: it would fault
    bool load(u64 linear, std::span<u8> to, bool for_itself);
    bool store(u64 linear, std::span<u8 const> from, bool for_itself);
    bool selector(u16& value);
    bool stack_segment(u16 selector, Segment& out);
};

bool Emulator::load(u64 linear, std::span<u8> to, bool for_itself) {
    std::optional<WalkFault> later;
    auto const count = read_linear(memory, paging_state(cpu), linear, to,
                                   {.access = Access::R, .implicit_supervisor = for_itself}, later);
    return count.ok() && count.value() == to.size();
}

bool Emulator::store(u64 linear, std::span<u8 const> from, bool for_itself) {
    for (u8 const& byte : from) { // a handful, and they may lie on two pages
        auto const at = walk(memory, paging_state(cpu), linear++,
                             {.access = Access::W, .implicit_supervisor = for_itself});
        if (!at.ok() || !memory.write(at.value().gpa, {&byte, 1}).ok()) {
            return false;
        }
    }
    return true;
}

bool Emulator::selector(u16& value) {
    if (!i.from_memory) {
        value = static_cast<u16>(cpu.read(i.from));
        return true;
    }
    return load(i.linear, {reinterpret_cast<u8*>(&value), sizeof value}, false);
}

/// SDM vol 2, "MOV", "IF SS is loaded"; vol 3A, "Privilege Level Checking When Loading the SS Register".
bool Emulator::stack_segment(u16 selector, Segment& out) {
    if (mode.real) {
        out = segment_by_paragraph(cpu.read(Seg::Ss), selector);
        return true;
    }
    if (is_null(selector)) {
        auto const none = null_segment(Seg::Ss, selector, mode, cpu.cpl());
        out = none.value_or(out);
        return none.has_value();
    }
    u64 linear = 0, raw = 0;
    if (!descriptor_address(cpu, system, selector, linear) ||
        !load(linear, {reinterpret_cast<u8*>(&raw), sizeof raw}, true)) {
        return false;
    }
    out = segment_of(selector, raw);
    if (!loadable(Seg::Ss, selector, out, cpu.cpl())) {
        return false;
    }
    if ((out.attributes & kAccessed) == 0) { // the processor marks what it loads
        out.attributes |= kAccessed;
        u8 const marked = static_cast<u8>(out.attributes);
        constexpr u64 kAttributesByte = 5;
        return store(linear + kAttributesByte, {&marked, 1}, true);
    }
    return true;
}

bool Emulator::load_stack_segment() {
    u16 value = 0;
    Segment loaded;
    if (!selector(value) || !stack_segment(value, loaded)) {
        return false;
    }
    if (i.kind == StepInstruction::Kind::PopStackSegment) {
        u64 const mask = mode.stack_bits == 32 ? 0xffff'ffff : 0xffff; // the stack that it was popped from
        u64 const sp = cpu.read(Reg::Rsp);
        cpu.write(Reg::Rsp, (sp & ~mask) | ((sp + i.operand_bytes) & mask));
    }
    system.write(Seg::Ss, loaded);
    done = {i.length, true};
    if ((cpu.read(Reg::Rflags) & rflags::kTrap) != 0) {
        // The guest's own single step is delayed as well: nobody may raise it for this instruction.
        u64 const rip = cpu.read(Reg::Rip) + i.length;
        cpu.write(Reg::Rip, mode.code_bits == 64 ? rip : rip & 0xffff'ffff);
        done.advance_bytes = 0;
    }
    return true;
}

bool Emulator::set_interrupts() {
    u64 const flags = cpu.read(Reg::Rflags);
    cpu.write(Reg::Rflags, flags | rflags::kInterrupt);
    done = {i.length, (flags & rflags::kInterrupt) == 0};
    return true;
}

/// SDM vol 2, "INT n", REAL-ADDRESS-MODE.
bool Emulator::interrupt() {
    constexpr u64 kAlignmentCheck = 1u << 18;
    constexpr u64 kFrameBytes = 6;
    auto const handler = handler_of_instruction(cpu, memory, system, i);
    u64 const flags = cpu.read(Reg::Rflags), sp = cpu.read(Reg::Rsp);
    Segment cs = cpu.read(Seg::Cs);
    Segment const ss = cpu.read(Seg::Ss);
    u64 const frame = (sp - kFrameBytes) & 0xffff;
    u16 const image[] = {static_cast<u16>(cpu.read(Reg::Rip) + i.length), cs.selector,
                         static_cast<u16>(flags)};
    static_assert(sizeof image == kFrameBytes);
    // A frame that wraps around, or crosses the limit, is left to the processor.
    if (!handler || frame + kFrameBytes - 1 > (ss.limit < 0xffff ? ss.limit : 0xffff) ||
        !store(ss.base + frame, {reinterpret_cast<u8 const*>(image), sizeof image}, false)) {
        return false;
    }
    cpu.write(Reg::Rsp, (sp & ~0xffffull) | frame);
    cpu.write(Reg::Rflags, flags & ~(rflags::kInterrupt | rflags::kTrap | rflags::kResume | kAlignmentCheck));
    cs.selector = handler->selector;
    cs.base = handler->base;
    system.write(Seg::Cs, cs);
    cpu.write(Reg::Rip, handler->offset);
    return true;
}
} // namespace

std::optional<EmulatedStep> emulate_step(CpuView& cpu, GuestAccess& memory, SystemView& system,
                                         StepPlan const& plan) {
    Emulator emulator{cpu, memory, system, plan.instruction, code_mode(cpu)};
    bool done = false;
    switch (plan.instruction.kind) {
    case StepInstruction::Kind::MovToStackSegment:
    case StepInstruction::Kind::PopStackSegment: done = emulator.load_stack_segment(); break;
    case StepInstruction::Kind::SetInterrupts: done = emulator.set_interrupts(); break;
    case StepInstruction::Kind::SoftwareInterrupt: done = emulator.interrupt(); break;
    default: break;
    }
    return done ? std::optional{emulator.done} : std::nullopt;
}
} // namespace hv::debug
