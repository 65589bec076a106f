// SPDX-License-Identifier: Apache-2.0
// One virtual processor on SVM: its VMCB, what waits to be delivered, and the way in and out of the guest.
//
//   run() ─ nothing pending ────────► world switch ─► simple exit ─────────────────────► Exit
//       │                                                └► any other ──────────────┐
//       └ pending_, or a shadow ─► prepare_entry() ─► world switch ─► finish_entry() ─┴─► leave_guest() ─►
//       Exit
//                                      ▲                                                     │
//                                      └──── exits of our own (window step, reflected #AC) ──┘
#pragma once
#include "hv/core/event_merge.hpp"
#include "hv/core/virt_backend.hpp"
#include "hv/svm/exit_decode.hpp"
#include "hv/svm/npt_map.hpp"
#include "hv/svm/svm_machine.hpp"

namespace hv::svm {
class SvmVcpu final : public VirtVcpu {
  public:
    /// @param vmcb a zeroed frame, at host-physical @p vmcb_at, the caller's to free after destruction
    [[gnu::cold]] SvmVcpu(SvmMachine const& machine, VcpuSetup const& setup, arch::Vmcb& vmcb, Hpa vmcb_at);

    void load() override;
    void unload() override;
    Exit const& run(u64 deadline_tsc) override;
    void advance(u8 instruction_bytes) override;

    void inject(Event const& event) override;
    std::optional<Event> waiting_event() override;
    bool can_take_interrupt() override;
    bool can_take_nmi() override;
    void request_interrupt_window(bool wanted) override;

    u64 read(Reg) override;
    void write(Reg, u64) override;
    Segment read(Seg) override;
    void write(Seg, Segment const&) override;
    DescriptorTable read_gdtr() override;
    DescriptorTable read_idtr() override;
    void write_gdtr(DescriptorTable const&) override;
    void write_idtr(DescriptorTable const&) override;
    u64 read(ControlReg) override;
    void write(ControlReg, u64) override;
    u64 read(StateMsr) override;
    void write(StateMsr, u64) override;
    void set_tsc_aux(u64 value) override;
    void arm_breakpoints(HardwareBreakpoints const&) override;
    u8 cpl() override;
    bool in_64bit_code() override;
    void set_tsc_offset(u64 offset) override;
    void clear_interrupt_shadow() override;

    void intercept_exceptions(u32 vectors) override;
    void report_cr3_writes(bool wanted) override;
    void step_once() override;
    bool steps_exactly() const override { return false; }
    bool breakpoints_ignore_cs_base() const override { return true; }
    void reset() override;
    void dump() override;

    arch::Vmcb& vmcb_memory() { return vmcb_; }

  private:
    /// Why the next entry is not an ordinary one. Bits of pending_.
    enum Pending : u32 {
        kEvent = 1u << 0,        ///< waiting_ is to be delivered
        kFlush = 1u << 1,        ///< translations may be stale
        kShutdown = 1u << 2,     ///< a triple fault to report
        kStateWritten = 1u << 3, ///< the core wrote state VMRUN checks: keep a copy for dump()
        kStep = 1u << 4,         ///< step_once()
        kWindow = 1u << 5,       ///< an interrupt window to open
        kUnloaded = 1u << 6,     ///< load() must come first
        kDebugDue = 1u << 7,     ///< due_causes_ are to be reported
        kPoints = 1u << 8,       ///< a breakpoint is armed: stays
        kLoadPoints = 1u << 9,   ///< DR0 … DR3 of this CPU are not ours
    };
    enum class Step : u8 { None, Core, Window };
    enum class Nmi : u8 { Open, Blocked, Returning };

    bool ordinary_entry() const;
    u32 world_switch();
    u32 prepared_world_switch();
    void look_up_length();
    bool leave_guest();
    Exit const& run_prepared();
    void enter_prepared();
    bool prepare_entry();
    void deliver_as_virtual_irq(u8 number);
    bool withdraw_virtual_irq();
    bool virtual_irq_ = false; ///< V_IRQ of this entry is a delivery, not the window
    void finish_entry();
    void undo_entry();
    void open_window();
    bool handle(ExitClass what);
    bool handle_exception(u8 number);
    bool handle_flags_instruction();
    bool handle_invalid();
    bool report(ExitKind kind);

    // svm_vcpu_debug.cpp
    void load_points();
    void arm_step();
    void disarm_step();
    bool ended_behind_instruction() const;
    bool handle_debug();
    bool report_debug(u64 causes);

    arch::VmcbSegment& segment(Seg);
    u64& state_msr(StateMsr);
    void mark_dirty(u32 clean_groups) { vmcb_.control.clean &= ~clean_groups; }
    void mark_written(u32 clean_groups) {
        mark_dirty(clean_groups);
        pending_ |= kStateWritten;
    }
    void set_hidden_cr0(u64 bits);
    void derive_lma();

    arch::Vmcb& vmcb_;
    u64 vmcb_at_;
    u64 host_vmcb_at_ = 0;
    NptMap const* nested_;        ///< the class itself: run() asks for its generation every time
    u64 seen_generation_ = ~0ull; ///< of nested_ when we last flushed
    u32 pending_ = kUnloaded;
    bool asid_shared_ = false;
    SvmMachine const& machine_;
    Exit exit_;

    Event waiting_;  ///< with kEvent
    Event injected_; ///< delivered at the last entry, if injected_valid_
    bool injected_valid_ = false;
    bool entered_in_shadow_ = false;
    bool failed_ = false; ///< the state is not the guest's: never enter again before reset()
    bool last_was_invalid_ = false;
    bool window_wanted_ = false;

    Step armed_ = Step::None;
    u64 saved_tf_ = 0;   ///< the guest's RFLAGS.TF while ours is set
    u64 saved_sce_ = 0;  ///< and its EFER.SCE
    u64 tsc_aux_ = 0;    ///< in the processor while this is loaded
    u64 due_causes_ = 0; ///< DR6 bits, with kDebugDue
    HardwareBreakpoints points_;
    u64 host_dr7_ = HardwareBreakpoints::kNone; ///< what the armed world switch puts into DR7, with kPoints

    Nmi nmi_ = Nmi::Open;
    u64 nmi_return_rip_ = 0;
    u64 entry_rip_ = 0;
    u32 entry_pending_ = 0; ///< pending_ as prepare_entry() found it
    u64 hidden_cr0_ = 0;    ///< CD and NW as the guest set them; the hardware runs without
    u32 wanted_exceptions_ = 0;
    SvmCpu const* last_cpu_ = nullptr;
    arch::VmcbState written_state_{}; ///< what we asked VMRUN to load, before a failure destroys it
};
static_assert(sizeof(SvmVcpu) <= kPageBytes);
} // namespace hv::svm
