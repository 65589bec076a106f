// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/step_plan.hpp"
#include "hv/base/bits.hpp"
#include "hv/debug/guest_tables.hpp"

namespace hv::debug {
namespace {
using decode::StepInstruction;
using Kind = StepPlan::Kind;
using Iopl = Bits<13, 12>; // of RFLAGS
constexpr u64 kNestedTask = 1u << 14;

struct Planner {
    CpuView& cpu;
    GuestAccess& memory;
    SystemView& system;
    StepStart const& start;

    StepPlan event(Event const&);
    StepPlan instruction(decode::Code const&);

  private:
    bool long_mode() { return (cpu.efer() & efer::kLma) != 0; }
    bool stops_at(u64 code_base) const { return code_base == 0 || !start.breakpoints_ignore_cs_base; }
    /// May the instruction behind this one have a breakpoint?
    bool stops_here(CodeMode mode) { return mode.code_bits == 64 || stops_at(cpu.read(Seg::Cs).base); }
    StepPlan behind(decode::Code const&, StepInstruction const&);
    StepPlan flags(decode::Code const&, StepInstruction const&);
    StepPlan loaded_flags(CodeMode, StepInstruction const&);
    StepPlan interrupt(StepInstruction const&);
    StepPlan system_call(StepInstruction const&, CodeMode);
    StepPlan system_return(StepInstruction const&, u64 target);
    StepPlan sysenter();
    StepPlan set_interrupts(StepInstruction const&);
};

StepPlan native() {
    return {};
}
StepPlan run_to(u64 linear) {
    return {.kind = Kind::RunTo, .address = linear};
}

StepPlan Planner::event(Event const& event) {
    if (start.steps_exactly) {
        return native();
    }
    StepPlan plan = run_to(0);
    auto const handler =
        handler_of_event(cpu, memory, system, event.type == Event::Type::Nmi ? vector::kNmi : event.vector);
    plan.reachable = handler.has_value();
    if (handler) {
        plan.address = handler->linear;
        plan.breakpoint_works = stops_at(handler->base);
    }
    return plan;
}

StepPlan Planner::behind(decode::Code const& code, StepInstruction const& i) {
    return run_to(code_linear(cpu, code.mode, i.length));
}

/// PUSHF and POPF.
StepPlan Planner::flags(decode::Code const& code, StepInstruction const& i) {
    if (stops_here(code.mode)) {
        return behind(code, i);
    }
    if (i.kind == StepInstruction::Kind::PopFlags) {
        return loaded_flags(code.mode, i);
    }
    bool const trap_flag = (cpu.read(Reg::Rflags) & rflags::kTrap) != 0;
    return {.kind = Kind::Fix, .instruction = i, .guest_trap_flag = trap_flag};
}

/// POPF finds its image on top of the stack, IRET behind RIP and CS.
StepPlan Planner::loaded_flags(CodeMode mode, StepInstruction const& i) {
    u64 const offset = i.kind == StepInstruction::Kind::InterruptReturn ? 2u * i.operand_bytes : 0;
    u16 image = 0;
    if (!peek(cpu, memory, stack_linear(cpu, mode, offset), image)) {
        return native(); // so will the processor find
    }
    return {.kind = Kind::Fix, .instruction = i, .guest_trap_flag = (image & rflags::kTrap) != 0};
}

StepPlan Planner::interrupt(StepInstruction const& i) {
    auto const handler = handler_of_instruction(cpu, memory, system, i);
    if (!handler) {
        return native();
    }
    bool const real = (cpu.read(ControlReg::Cr0) & cr0::kPe) == 0;
    if (!stops_at(handler->base) && real) {
        return {.kind = Kind::Emulate, .instruction = i};
    }
    StepPlan plan = run_to(handler->linear);
    plan.breakpoint_works = stops_at(handler->base);
    if (!plan.breakpoint_works) { // a guarded page would refuse this instruction as well if it is its own
        u64 const here = code_linear(cpu, code_mode(cpu), 0);
        plan.reachable = align_down(here, kPageBytes) != align_down(plan.address, kPageBytes);
    }
    return plan;
}

/// Source: AMD APM vol 3, "SYSCALL".
StepPlan Planner::system_call(StepInstruction const&, CodeMode mode) {
    if ((cpu.efer() & efer::kSce) == 0) {
        return native();
    }
    if (!long_mode()) {
        return run_to(system.read(StateMsr::IA32_STAR) & 0xffff'ffff);
    }
    return run_to(system.read(mode.code_bits == 64 ? StateMsr::IA32_LSTAR : StateMsr::IA32_CSTAR));
}

/// SYSRET and SYSEXIT.
StepPlan Planner::system_return(StepInstruction const& i, u64 target) {
    if (cpu.cpl() != 0) {
        return native();
    }
    return run_to(i.operand_bytes == 8 ? target : target & 0xffff'ffff);
}

StepPlan Planner::sysenter() {
    if ((system.read(StateMsr::IA32_SYSENTER_CS) & 0xfffc) == 0) {
        return native();
    }
    u64 const target = system.read(StateMsr::IA32_SYSENTER_EIP);
    return run_to(long_mode() ? target : target & 0xffff'ffff);
}

/// Without the privilege it faults, or sets VIF instead of IF, which delays nothing.
StepPlan Planner::set_interrupts(StepInstruction const& i) {
    if (cpu.cpl() > Iopl::get(cpu.read(Reg::Rflags))) {
        return native();
    }
    return {.kind = Kind::Emulate, .instruction = i};
}

StepPlan Planner::instruction(decode::Code const& code) {
    StepInstruction const i = decode::step_instruction(cpu, code);
    if (i.kind == StepInstruction::Kind::Ordinary) {
        return native();
    }
    if (i.kind == StepInstruction::Kind::RepeatedString) {
        return stops_here(code.mode) ? behind(code, i) : StepPlan{.kind = Kind::Repeat};
    }
    if (start.steps_exactly) {
        return native();
    }
    switch (i.kind) {
    case StepInstruction::Kind::PushFlags:
    case StepInstruction::Kind::PopFlags: return flags(code, i);
    case StepInstruction::Kind::InterruptReturn:
        if ((cpu.read(Reg::Rflags) & kNestedTask) != 0 && !long_mode() && !code.mode.real) {
            return native(); // a task switch, which exits
        }
        return loaded_flags(code.mode, i);
    case StepInstruction::Kind::SoftwareInterrupt: return interrupt(i);
    case StepInstruction::Kind::Syscall: return system_call(i, code.mode);
    case StepInstruction::Kind::Sysret: return system_return(i, cpu.read(Reg::Rcx));
    case StepInstruction::Kind::Sysenter: return sysenter();
    case StepInstruction::Kind::Sysexit: return system_return(i, cpu.read(Reg::Rdx));
    case StepInstruction::Kind::SetInterrupts: return set_interrupts(i);
    case StepInstruction::Kind::MovToStackSegment:
    case StepInstruction::Kind::PopStackSegment: return {.kind = Kind::Emulate, .instruction = i};
    case StepInstruction::Kind::Ordinary:
    case StepInstruction::Kind::RepeatedString: break;
    }
    return native();
}

/// One byte, through tables that the processor has just used.
void poke_trap_flag(CpuView& cpu, GuestAccess& memory, u64 image) {
    constexpr u8 kTrapInByte1 = static_cast<u8>(rflags::kTrap >> 8);
    WalkIntent const intent{.set_accessed_dirty = false, .check_permissions = false};
    auto const at = walk(memory, paging_state(cpu), image + 1, intent);
    u8 byte = 0;
    if (at.ok() && memory.read(at.value().gpa, {&byte, 1}).ok()) {
        byte = static_cast<u8>(byte & ~kTrapInByte1);
        (void)memory.write(at.value().gpa, {&byte, 1}).ok();
    }
}
} // namespace

StepPlan plan_step(CpuView& cpu, GuestAccess& memory, SystemView& system, StepStart const& start) {
    Planner planner{cpu, memory, system, start};
    if (start.waiting) {
        return planner.event(*start.waiting);
    }
    auto const code = decode::fetch_code(cpu, memory);
    return code.ok() ? planner.instruction(code.value()) : native();
}

StepPlan plan_step(CpuView& cpu, GuestAccess& memory, SystemView& system, StepStart const& start,
                   decode::Code const& code) {
    return Planner{cpu, memory, system, start}.instruction(code);
}

void finish_step(CpuView& cpu, GuestAccess& memory, StepPlan const& plan) {
    if (plan.kind != Kind::Fix) {
        return;
    }
    if (plan.instruction.kind != StepInstruction::Kind::PushFlags) {
        u64 const flags = cpu.read(Reg::Rflags) & ~rflags::kTrap;
        cpu.write(Reg::Rflags, flags | (plan.guest_trap_flag ? rflags::kTrap : 0));
    } else if (!plan.guest_trap_flag) {
        poke_trap_flag(cpu, memory, stack_linear(cpu, code_mode(cpu), 0));
    }
}
} // namespace hv::debug
