// SPDX-License-Identifier: Apache-2.0
// The turns of a guest under the debugger.
#include "hv/core/decode/memory_accesses.hpp"
#include "hv/debug/vcpu_system_view.hpp"
#include "hv/partition/debugger/debugger.hpp"
#include "hv/partition/debugger/linear_memory.hpp"
#include "hv/partition/guest.hpp"
#include <utility>

namespace hv::partition {
using debug::PointKind;
using debug::StepPlan;

namespace {
namespace dr6 {
constexpr u64 kGeneralDetect = 1u << 13, kSingleStep = 1u << 14, kTaskSwitch = 1u << 15;
constexpr u64 kGuests =
    kGeneralDetect | kSingleStep | kTaskSwitch; ///< nobody else makes the processor set these
} // namespace dr6
/// #DB exits anyway; INT3 and INTO raise theirs behind themselves.
constexpr u32 kFaults =
    ~((1u << vector::kDebug) | (1u << vector::kNmi) | (1u << vector::kBreakpoint) | (1u << 4));

/// A point's condition looks at the stopped guest.
class ConditionContext final : public debug::AgentContext {
  public:
    ConditionContext(Guest& guest, DebuggerHost& session) : guest_{guest}, session_{session} {}
    bool read_register(u16 number, u64& value) override {
        return session_.read_register(guest_.vp(), number, value);
    }
    bool read_memory(u64 linear, std::span<u8> to) override {
        VcpuView view{guest_.vp().hardware()};
        return read_linear_memory(view, guest_.memory(), linear, to) == to.size();
    }

  private:
    Guest& guest_;
    DebuggerHost& session_;
};

bool is_debug_exception(Exit const& exit) {
    return exit.kind == ExitKind::Exception && exit.exception.vector == vector::kDebug &&
           exit.instruction_bytes == 0;
}
} // namespace

void Debugger::run(Cpu& cpu, u64 until_tsc) {
    VirtualProcessor& vp = guest_->vp();
    vp.begin_slice(cpu, until_tsc);
    while (!vp.leaves_loop() && mode_ != Mode::Stopped) {
        if (!placed_) {
            place_points();
        }
        if (stepping()) {
            step_turn(cpu);
            continue;
        }
        vp.attend_if_asked();
        if (vp.halted()) {
            return;
        }
        free_turn(cpu);
    }
}

void Debugger::step_now(Cpu& cpu, u64 until_tsc) {
    guest_->vp().begin_slice(cpu, until_tsc);
    if (!placed_) {
        place_points();
    }
    step_turn(cpu);
}

void Debugger::free_turn(Cpu& cpu) {
    VirtualProcessor& vp = guest_->vp();
    arm(Armed::All);
    Exit const& exit = vp.enter(cpu, true);
    if (is_debug_exception(exit)) {
        debug::Hits const hits = debug::sort_hits(placement_, exit.exception.address);
        (void)take_debug_exception(cpu, exit, hits);
        u64 at_instruction = 0, behind_access = 0;
        debug::for_each_point(hits.points, [&](unsigned i) {
            u64& set = points_[i].spec.kind == PointKind::Execute ? at_instruction : behind_access;
            set |= u64{1} << i;
        });
        if (behind_access != 0) {
            stop_at(behind_access);
        } else if (at_instruction != 0) {
            on_execution_points(at_instruction);
        }
        return;
    }
    if (watches_tables_ &&
        exit.kind == ExitKind::ControlRegister) { // the step unties it, and all are placed anew behind it
        past_point_ = true;
        return;
    }
    bool const host_event = exit.kind == ExitKind::HostEvent;
    vp.answer(exit, cpu);
    if (auto const refused = vp.take_guard_fault()) {
        on_guard_fault(*refused, false);
    }
    if (host_event && (placement_.guarded | placement_.homeless) != 0) {
        placed_ = false; // the guest's tables may have changed: pages appear, move and go
    }
}

/// One entry on the way through the instruction at RIP, or through the delivery of the event that waits.
void Debugger::step_turn(Cpu& cpu) {
    VirtualProcessor& vp = guest_->vp();
    bool const mind_timers = !holds_interrupts_ && mode_ != Mode::Continue;
    if (mind_timers) {
        vp.attend_if_asked();
    } else {
        vp.hold_interrupts();
    }
    if (vp.halted()) {
        vp.end_halt();
    }
    watch_tables(false);
    if (nothing_to_plan()) {
        static constexpr StepPlan kNative{};
        step_natively(cpu, kNative, mind_timers);
        return;
    }
    StepPlan const plan = plan_step();
    switch (plan.kind) {
    case StepPlan::Kind::Native:
    case StepPlan::Kind::Repeat:
    case StepPlan::Kind::Fix: step_natively(cpu, plan, mind_timers); return;
    case StepPlan::Kind::RunTo: run_to(cpu, plan, mind_timers); return;
    case StepPlan::Kind::Emulate: emulate(cpu, plan, mind_timers); return;
    }
}

/// A monitor trap flag leaves nothing to plan but for repeated instructions, which show when they stay where
/// they are. Without one most instructions need no plan either.
bool Debugger::nothing_to_plan() {
    VirtVcpu& hw = guest_->vp().hardware();
    if (hw.steps_exactly()) {
        return !repeats_;
    }
    if (hw.waiting_event()) {
        return false;
    }
    u8 const* const code = code_.at_rip(hw, guest_->memory());
    return code != nullptr && decode::looks_ordinary(code);
}

StepPlan Debugger::plan_step() {
    VirtVcpu& hw = guest_->vp().hardware();
    VcpuView view{hw};
    debug::VcpuSystemView system{hw};
    debug::StepStart const start{.steps_exactly = hw.steps_exactly(),
                                 .breakpoints_ignore_cs_base = hw.breakpoints_ignore_cs_base(),
                                 .waiting = hw.waiting_event()};
    decode::Code code;
    if (!start.waiting && code_.fetch(hw, guest_->memory(), code)) {
        return debug::plan_step(view, guest_->memory(), system, start, code);
    }
    return debug::plan_step(view, guest_->memory(), system, start);
}

void Debugger::step_natively(Cpu& cpu, StepPlan const& plan, bool mind_timers) {
    VirtualProcessor& vp = guest_->vp();
    VirtVcpu& hw = vp.hardware();
    u64 const before = hw.read(Reg::Rip);
    bool const delivers = hw.steps_exactly() && hw.waiting_event().has_value();
    arm(Armed::ForStep);
    hw.step_once();
    Exit const& exit = vp.enter(cpu, mind_timers);
    bool done = false;
    if (is_debug_exception(exit)) {
        debug::Hits const hits = debug::sort_hits(for_step_, exit.exception.address);
        bool const trap = take_debug_exception(cpu, exit, hits);
        watched_ |= hits.points;
        done = (trap || hits.points != 0) && hw.read(Reg::Rip) != before;
    } else if (exit.kind == ExitKind::SingleStep) {
        vp.answer(exit, cpu);
        // Without a monitor trap flag a fault of the instruction waits now: its delivery ends the step.
        done = !hw.waiting_event().has_value();
        if (done && hw.read(Reg::Rip) == before && !delivers) {
            repeats_ = plan.kind == StepPlan::Kind::Repeat ||
                       (hw.steps_exactly() && plan_step().kind != StepPlan::Kind::Native);
            done = !repeats_;
        }
    } else {
        vp.answer(exit, cpu);
        if (auto const refused = vp.take_guard_fault()) {
            on_guard_fault(*refused, true);
        }
        done = !delivers && hw.read(Reg::Rip) != before; // whoever answered the exit has carried it out
    }
    if (done) {
        if (plan.kind == StepPlan::Kind::Fix) {
            VcpuView view{hw};
            debug::finish_step(view, guest_->memory(), plan);
        }
        shadow_ = false;
        instruction_done();
    }
}

void Debugger::run_to(Cpu& cpu, StepPlan const& plan, bool mind_timers) {
    VirtualProcessor& vp = guest_->vp();
    VirtVcpu& hw = vp.hardware();
    bool const starts_there = linear_rip() == plan.address;
    debug::OneShot const shot = debug::with_one_shot(for_step_, plan.address);
    bool const by_register = plan.reachable && plan.breakpoint_works;
    Gpa page;
    VcpuView view{hw};
    bool const by_guard = plan.reachable && !plan.breakpoint_works &&
                          translate_linear(view, guest_->memory(), plan.address, page) &&
                          guest_->memory().guard(page.page(), Access::RW).ok();
    if (by_register) {
        hw.arm_breakpoints(shot.hardware);
        armed_ = Armed::Unknown;
        if (starts_there) { // it is to be hit when the instruction comes back here, not now
            hw.write(Reg::Rflags, hw.read(Reg::Rflags) | rflags::kResume);
        }
    } else {
        arm(Armed::ForStep);
    }
    hw.intercept_exceptions(kFaults);
    Exit const& exit = vp.enter(cpu, mind_timers);
    hw.intercept_exceptions(0);
    bool arrived = false;
    if (is_debug_exception(exit)) {
        debug::Hits const hits = by_register ? debug::sort_hits(for_step_, shot, exit.exception.address)
                                             : debug::sort_hits(for_step_, exit.exception.address);
        (void)take_debug_exception(cpu, exit, hits);
        watched_ |= hits.points;
        arrived = hits.one_shot;
    } else {
        vp.answer(exit, cpu);
        if (auto const refused = vp.take_guard_fault(); refused && !by_guard) {
            on_guard_fault(*refused, true);
        }
    }
    if (by_guard) {
        guest_->memory().unguard(page.page());
        placed_ = guards_.empty() && placed_; // it may have been one of ours
    }
    arrived = arrived || (plan.reachable && !starts_there && linear_rip() == plan.address);
    if (arrived) {
        shadow_ = false;
        instruction_done();
    }
}

void Debugger::emulate(Cpu& cpu, StepPlan const& plan, bool mind_timers) {
    VirtualProcessor& vp = guest_->vp();
    VirtVcpu& hw = vp.hardware();
    VcpuView view{hw};
    debug::VcpuSystemView system{hw};
    auto const done = debug::emulate_step(view, guest_->memory(), system, plan);
    if (!done) { // it will fault
        step_natively(cpu, StepPlan{}, mind_timers);
        return;
    }
    if (done->advance_bytes != 0) {
        hw.advance(done->advance_bytes);
    }
    shadow_ = done->interrupt_shadow;
    instruction_done();
}

/// Gives the guest its share of a #DB. @return whether it is a trap of the guest's, behind the instruction
bool Debugger::take_debug_exception(Cpu& cpu, Exit const& exit, debug::Hits const& hits) {
    u64 const causes = hits.guest | (exit.exception.address & dr6::kGuests);
    if (causes != 0) {
        guest_->vp().raise_debug(causes);
        guest_->vp().mind_host(cpu);
    }
    return (exit.exception.address & dr6::kSingleStep) != 0 || hits.guest != 0;
}

/// At an instruction with points: stops if one of them is to be reported, else sees to it that the guest gets
/// past it.
void Debugger::on_execution_points(u64 points) {
    u64 const began = host_.now_tsc();
    ConditionContext context{*guest_, session_};
    u64 reported = 0;
    debug::for_each_point(points, [&](unsigned i) { reported |= points_.hit(i, context) ? u64{1} << i : 0; });
    if (reported != 0) {
        stop_at(reported);
        return;
    }
    ++counters_.false_conditions;
    VirtVcpu& hw = guest_->vp().hardware();
    if ((points & ~placement_.guarded) == points && !hw.waiting_event() && resume_flag_passes(points)) {
        hw.write(Reg::Rflags, hw.read(Reg::Rflags) | rflags::kResume);
        counters_.false_condition_ticks += host_.now_tsc() - began;
        return;
    }
    past_point_ = true;
    condition_since_tsc_ = began;
}

/// RFLAGS.RF lets the instruction at a code breakpoint run without hitting it again, and is gone behind it
/// (SDM vol 3B, "Instruction-Breakpoint Exception Condition"). Not where that instruction would store it: INT
/// n and its like. Whether it does is looked up once a point.
bool Debugger::resume_flag_passes(u64 points) {
    if ((points & ~resume_flag_asked_) != 0) {
        VcpuView view{guest_->vp().hardware()};
        auto const code = decode::fetch_code(view, guest_->memory());
        resume_flag_asked_ |= points;
        bool const plain = code.ok() && decode::step_instruction(view, code.value()).kind !=
                                            decode::StepInstruction::Kind::SoftwareInterrupt;
        resume_flag_works_ = plain ? resume_flag_works_ | points : resume_flag_works_ & ~points;
    }
    return (points & ~resume_flag_works_) == 0;
}

void Debugger::on_guard_fault(NestedFaultExit const& fault, bool in_step) {
    ++counters_.guard_faults;
    if (fault.access == Access::X && !fault.during_walk && !in_step) {
        if (u64 const points = points_.execution_points_at(linear_rip()); points != 0) {
            on_execution_points(points);
            if (mode_ == Mode::Stopped) {
                return;
            }
        }
    } else if (fault.access != Access::X && !fault.during_walk) {
        watched_ |= watchpoints_touched(fault);
    }
    guards_.open(guest_->memory(), fault.gpa);
}

u64 Debugger::watchpoints_touched(NestedFaultExit const& fault) {
    VcpuView view{guest_->vp().hardware()};
    mm::GuestMemory& memory = guest_->memory();
    u64 touched = 0;
    bool complete = false;
    if (auto const code = decode::fetch_code(view, memory)) {
        decode::MemoryAccesses const accesses = decode::memory_accesses(view, code.value());
        complete = accesses.complete;
        for (decode::MemoryAccess const& a : accesses.span()) {
            touched |= points_.watchpoints_at(a.linear, a.bytes, a.read, a.write);
        }
    }
    if (!complete) { // where the fault was is all that is known
        debug::for_each_point(placement_.guarded, [&](unsigned i) {
            debug::PointSpec const& spec = points_[i].spec;
            Gpa at;
            bool const fits = spec.kind == PointKind::Access ||
                              (spec.kind == PointKind::Write) == (fault.access == Access::W);
            if (spec.kind != PointKind::Execute && fits && translate_linear(view, memory, spec.address, at) &&
                fault.gpa - at < spec.bytes) {
                touched |= u64{1} << i;
            }
        });
    }
    return touched & placement_.guarded; // the others have a register that tells
}

void Debugger::instruction_done() {
    if (guards_.any_open()) {
        guards_.close_all(guest_->memory());
    }
    past_point_ = repeats_ = false;
    placed_ = placed_ && placement_.homeless == 0;
    ++counters_.steps;
    if (condition_since_tsc_ != 0) {
        counters_.false_condition_ticks += host_.now_tsc() - std::exchange(condition_since_tsc_, 0);
    }
    if (u64 const points = std::exchange(watched_, 0); points != 0) {
        stop_at(points);
        return;
    }
    if (mode_ == Mode::Step) {
        stop({.reason = StopEvent::Reason::Stepped});
        return;
    }
    if (mode_ != Mode::StepRange) {
        if (shadow_) { // the next one is stepped as well, and nobody else looks at its points
            if (u64 const points = points_.execution_points_at(linear_rip()); points != 0) {
                on_execution_points(points);
            }
        }
        return;
    }
    u64 const rip = linear_rip();
    if (rip - range_first_ >= range_end_ - range_first_) {
        stop({.reason = StopEvent::Reason::Stepped});
    } else if (u64 const points = points_.execution_points_at(rip); points != 0) {
        on_execution_points(points);
    }
}

void Debugger::stop_at(u64 points) {
    debug::PointSpec const* chosen = nullptr;
    ConditionContext context{*guest_, session_};
    debug::for_each_point(points, [&](unsigned i) {
        debug::PointSpec const& spec = points_[i].spec;
        if (spec.kind != PointKind::Execute) {
            (void)points_.hit(i, context); // watchpoints have no conditions: for the count
        }
        chosen = chosen == nullptr ? &spec : chosen;
    });
    StopEvent event{.reason = StopEvent::Reason::Breakpoint,
                    .vp = guest_->vp().index(),
                    .address = chosen->address,
                    .software = chosen->software};
    switch (chosen->kind) {
    case PointKind::Execute: break;
    case PointKind::Write: event.reason = StopEvent::Reason::WriteWatch; break;
    case PointKind::Read: event.reason = StopEvent::Reason::ReadWatch; break;
    case PointKind::Access: event.reason = StopEvent::Reason::AccessWatch; break;
    }
    stop(event);
}
} // namespace hv::partition
