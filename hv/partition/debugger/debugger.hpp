// SPDX-License-Identifier: Apache-2.0
// A guest under the debugger. While one is attached its run() takes the place of VirtualProcessor::run():
//
//   Continue ── free_turn() ── an exit ──► point reached? ── condition true ──► Stopped
//      ▲                                        └─ false ──► past it by one step_turn() ─┐
//      └────────────────────────────────────────────────────────────────────────────────┘
//   Step, StepRange ── step_turn() … until one instruction is done ──► Stopped
//
// A step_turn() is one entry on the way through an instruction, planned by hv/debug/step_plan.hpp; pages
// whose guard the instruction runs into are opened for it and closed behind it (page_guards.hpp).
#pragma once
#include "hv/core/host_services.hpp"
#include "hv/debug/placement.hpp"
#include "hv/debug/step_plan.hpp"
#include "hv/partition/debugger/code_window.hpp"
#include "hv/partition/debugger/debugger_host.hpp"
#include "hv/partition/debugger/page_guards.hpp"
#include "hv/partition/debugger/stop_event.hpp"

namespace hv::partition {
class Guest;

/// All members on the partition's CPU with the guest's state loaded, between two of its runs; run() is one.
class Debugger {
  public:
    Debugger(HostServices& host, DebuggerHost& session) : host_{host}, session_{session} {}
    Debugger(Debugger const&) = delete;
    Debugger& operator=(Debugger const&) = delete;

    bool attached() const { return attached_; }
    /// Attached, and the guest must not run.
    bool stopped() const { return attached_ && mode_ == Mode::Stopped; }
    /// The stop ended a Continue: worth telling the operator.
    bool stopped_for_long() const { return last_order_ == ResumeOrder::Kind::Continue; }

    /// Stops the guest; take_stop() tells at once.
    void attach(Guest& guest, bool crashed);
    /// The same for one that is about to start.
    void attach_at_boot();
    /// Removes every trace; the guest may run.
    void detach();
    /// The guest's processor and memory have started over. @param stop before its first instruction
    void rebooted(Guest& guest, bool stop);
    void guest_ends();
    void crashed();
    void interrupt();
    void resume(ResumeOrder const& order);
    /// The stop since the last resume(), attach() or rebooted(), once; nullptr: none. Good until the next.
    StopEvent const* take_stop();

    /// Runs the guest as the last resume() said, until it halts, the time is up, the partition has work to do
    /// or it has stopped().
    void run(Cpu&, u64 until_tsc);
    /// The first entry of a step; run() makes those that are left unless it has stopped().
    void step_now(Cpu&, u64 until_tsc);

    Result<void, debug::PointTableError> insert(debug::PointSpec const&, std::span<u8 const> conditions);
    bool remove(debug::PointSpec const&);
    void remove_all_points();
    debug::PointTable const& points() const { return points_; }
    debug::Placement const& placement() const { return placement_; }

    /// Whether interrupts and timers wait while an instruction is stepped.
    bool holds_interrupts() const { return holds_interrupts_; }
    void hold_interrupts(bool on) { holds_interrupts_ = on; }

    struct Counters {
        u64 steps = 0;                 ///< instructions stepped, for the user or past a point
        u64 false_conditions = 0;      ///< points reached whose condition did not hold
        u64 false_condition_ticks = 0; ///< host TSC from such an exit until the guest ran on behind the point
        u64 round_trips = 0;           ///< single steps that gdb asked for
        u64 round_trip_ticks = 0;      ///< host TSC from their request's arrival to the reply
        u64 guard_faults = 0;          ///< accesses to guarded pages
    };
    Counters const& counters() const { return counters_; }
    void note_round_trip(u64 ticks) {
        ++counters_.round_trips;
        counters_.round_trip_ticks += ticks;
    }

  private:
    enum class Mode : u8 { Stopped, Continue, Step, StepRange };
    enum class Armed : u8 { Unknown, All, ForStep };

    bool stepping() const { return mode_ != Mode::Continue || past_point_ || shadow_ || guards_.any_open(); }
    void free_turn(Cpu&);
    void step_turn(Cpu&);
    bool nothing_to_plan();
    debug::StepPlan plan_step();
    void step_natively(Cpu&, debug::StepPlan const&, bool mind_timers);
    void run_to(Cpu&, debug::StepPlan const&, bool mind_timers);
    void emulate(Cpu&, debug::StepPlan const&, bool mind_timers);
    bool take_debug_exception(Cpu&, Exit const&, debug::Hits const&);
    void instruction_done();
    void on_execution_points(u64 points);
    bool resume_flag_passes(u64 points);
    void on_guard_fault(NestedFaultExit const&, bool in_step);
    u64 watchpoints_touched(NestedFaultExit const&);
    void stop(StopEvent const&);
    void stop_at(u64 points);

    void arm(Armed);
    void place_points();
    bool guardable(debug::PointSpec const&);
    void guard_points();
    void watch_tables(bool on);
    u64 linear_rip();
    bool in_based_code();
    static void debug_registers_changed(void* self);

    HostServices& host_;
    DebuggerHost& session_;
    Guest* guest_ = nullptr;
    bool attached_ = false;
    bool stop_told_ = true;
    bool holds_interrupts_ = true;
    bool past_point_ = false;     ///< the instruction at RIP must run before points count again
    bool repeats_ = false;        ///< a repeated instruction is under way
    bool shadow_ = false;         ///< an emulated STI or MOV SS: no interrupt before one more instruction
    u64 resume_flag_asked_ = 0;   ///< execution points whose instruction was looked at: may RFLAGS.RF pass it
    u64 resume_flag_works_ = 0;   ///< these
    bool placed_ = false;         ///< placement_ is up to date
    bool in_based_code_ = false;  ///< it was made for code with a CS base
    bool watches_tables_ = false; ///< MOV to CR3 exits
    Mode mode_ = Mode::Continue;
    Armed armed_ = Armed::Unknown;
    ResumeOrder::Kind last_order_ = ResumeOrder::Kind::Continue;
    u64 range_first_ = 0, range_end_ = 0;
    u64 watched_ = 0;             ///< watchpoints that the instruction in progress has touched
    u64 condition_since_tsc_ = 0; ///< of the false condition that is being passed
    StopEvent event_;
    debug::PointTable points_;
    debug::Placement placement_;
    debug::Placement for_step_; ///< without the debugger's execution points
    PageGuards guards_;
    CodeWindow code_;
    Counters counters_;
};
} // namespace hv::partition
