// SPDX-License-Identifier: Apache-2.0
// How to run exactly one instruction, or the delivery of the event that waits, unseen by the guest.
//
// A monitor trap flag does that for everything but repeated string instructions. Without one the backend
// steps by RFLAGS.TF, which some instructions store, replace or clear, and which is looked at too late behind
// others. Those are gone around here:
//
//   instruction                 way               why
//   PUSHF                       RunTo or Fix      stores TF
//   POPF                        RunTo or Fix      replaces TF
//   IRET                        Fix               replaces TF; RF in its image would hide a breakpoint there
//   INT n, INT3, INTO, events   RunTo             store TF, then clear it: no trap before the handler's IRET
//   SYSCALL                     RunTo             stores TF in R11, then FMASK clears it
//   SYSRET, SYSENTER, SYSEXIT   RunTo             TF comes from R11; emulators differ
//   REP string                  RunTo or Repeat   a trap each iteration (the monitor trap flag too)
//   STI, MOV SS, POP SS         Emulate           the trap comes one instruction late, or not at all
//   everything else             Native
#pragma once
#include "hv/core/cpu_view.hpp"
#include "hv/core/decode/step_instruction.hpp"
#include "hv/core/guest_access.hpp"
#include <optional>

namespace hv {
class VirtVcpu;
}
namespace hv::debug {
/// The state that stepping needs besides CpuView's.
class SystemView {
  public:
    virtual ~SystemView() = default;
    virtual u64 read(StateMsr) = 0;
    virtual DescriptorTable read_idtr() = 0;
    virtual DescriptorTable read_gdtr() = 0;
    virtual void write(Seg, Segment const&) = 0;
};

/// What a step starts from.
struct StepStart {
    bool steps_exactly = false;              ///< VirtVcpu::steps_exactly()
    bool breakpoints_ignore_cs_base = false; ///< VirtVcpu::breakpoints_ignore_cs_base()
    std::optional<Event> waiting;            ///< VirtVcpu::waiting_event(): the step is its delivery
};

struct StepPlan {
    enum class Kind : u8 {
        /// VirtVcpu::step_once().
        Native,
        /// step_once() until RIP is no longer on the instruction, with a budget: each is one iteration.
        Repeat,
        /// Run, without step_once(), up to a one-shot code breakpoint at `address`. RFLAGS stays the guest's
        /// own. All
        /// exceptions but 3 and 4 (which INT3 and INTO raise behind themselves) are to be intercepted: one of
        /// them
        /// means that the instruction has faulted, or that the first fetch at `address` has (RIP tells);
        /// inject it,
        /// the step is done.
        RunTo,
        /// emulate_step().
        Emulate,
        /// step_once(), and finish_step() when the instruction has completed, be that reported as SingleStep
        /// with no
        /// event waiting or as #DB: by then RFLAGS.TF is again what the backend found before the step.
        Fix,
    } kind = Kind::Native;

    /// RunTo: linear address.
    u64 address = 0;
    /// RunTo: a debug register will stop there. false: only a page without execute permission will (it is not
    /// the page of the instruction).
    bool breakpoint_works = true;
    /// RunTo: false: nothing can stop there, or there is no such address, for the delivery of the event will
    /// fault. Run with exceptions intercepted and no breakpoint; what comes next is planned anew.
    bool reachable = true;

    decode::StepInstruction instruction = {}; ///< Emulate, Fix
    /// Fix: RFLAGS.TF that the guest owns, before the instruction (PUSHF) or in the image it loads (POPF,
    /// IRET).
    bool guest_trap_flag = false;
};

/// Decides how to step. Reads the guest's code, stack and descriptor tables as a debugger does (no
/// permissions, no accessed bits); changes nothing. An instruction that cannot be fetched or decoded is
/// Native: it will fault. HLT, CPUID, I/O, MSRs and what else exits by itself is Native, too: whoever
/// emulates it ends the step. Does not allocate. About 100 instructions more than the fetch for ordinary
/// ones.
StepPlan plan_step(CpuView&, GuestAccess&, SystemView&, StepStart const&);
/// The same with the instruction at RIP at hand, and no event waiting.
StepPlan plan_step(CpuView&, GuestAccess&, SystemView&, StepStart const&, decode::Code const&);

struct EmulatedStep {
    /// For VirtVcpu::advance(); 0: RIP has been set.
    u8 advance_bytes = 0;
    /// Interrupts must not be taken before one more instruction has run: STI that set IF, MOV SS, POP SS.
    /// Keep them held until then (the next step, or one before continuing).
    bool interrupt_shadow = false;
};
/// Carries out an Emulate plan. Registers change only if it succeeds.
/// @return nothing if it would fault, or needs memory that only the hardware can explain: step_once() then,
/// which makes the processor raise just the right fault. Source: Intel SDM vol 2, "MOV", "POP", "STI", "INT
/// n"; vol 3A, "Segment Descriptors".
std::optional<EmulatedStep> emulate_step(CpuView&, GuestAccess&, SystemView&, StepPlan const&);

/// After a Fix plan's instruction has completed: takes TF out of the image that PUSHF stored, or makes
/// RFLAGS.TF what POPF or IRET loaded.
void finish_step(CpuView&, GuestAccess&, StepPlan const&);
} // namespace hv::debug
