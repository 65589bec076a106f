// SPDX-License-Identifier: Apache-2.0
// One virtual processor: its hardware state (VirtVcpu), its local APIC, and the loop that enters the guest
// and answers each exit with one handler. Read exit_router.cpp next: the way of an exit starts there.
#pragma once
#include "hv/core/control_registers.hpp"
#include "hv/core/cpuid_policy.hpp"
#include "hv/core/decode/length_decoder.hpp"
#include "hv/core/fpu_state.hpp"
#include "hv/core/guest_fault.hpp"
#include "hv/core/guest_msrs.hpp"
#include "hv/core/host_services.hpp"
#include "hv/core/vcpu_view.hpp"
#include "hv/mm/guest_memory.hpp"
#include "hv/partition/loaders/loader.hpp"
#include "hv/partition/vp_counters.hpp"
#include "hv/platform/interrupt_fabric.hpp"
#include <optional>
#include <utility>

namespace hv::partition {
class Guest;

class VirtualProcessor {
  public:
    struct Setup {
        Guest* guest = nullptr;
        HostServices* host = nullptr;
        VirtVcpu* hardware = nullptr;
        std::span<u8> fpu_area; ///< FpuLayout::area_bytes, 64-byte aligned
        CpuidSetup cpuid;
        platform::LocalApic::Identity apic{};
        platform::InterruptFabric* fabric = nullptr;
        PartitionClock* clock = nullptr;
        u32 index = 0;
    };
    [[gnu::cold]] explicit VirtualProcessor(Setup const&);

    /// State at the kernel's entry point. Partition stopped.
    [[gnu::cold]] void enter_at(EntryState const&);
    /// Power-on state; the partition fills memory and calls enter_at() next.
    [[gnu::cold]] void reset();

    /// Whether run() would enter the guest.
    bool ready(u64 now_tsc) const { return !halted_ || attention_ || now_tsc >= next_timer_tsc_; }
    /// Host TSC of the guest's next timer, kNever for none.
    u64 next_timer_tsc() const { return next_timer_tsc_; }
    /// Runs the guest on this CPU until it halts, the time is up, or the partition has work to do.
    void run(Cpu&, u64 until_tsc);
    /// Puts the guest's state on this CPU, where it stays until leave(). Before reset() and enter_at() too.
    void load(Cpu&);
    bool loaded() const { return loaded_; }
    /// Takes the guest's state off the CPU.
    void leave(Cpu&);

    u32 index() const { return index_; }
    platform::LocalApic& apic() { return apic_; }
    VirtVcpu& hardware() { return hw_; }
    CpuidPolicy& cpuid() { return cpuid_; }
    VpCounters const& counters() const { return counters_; }
    bool halted() const { return halted_; }
    /// HLT with interrupts off: only a reset or an operator wakes it.
    bool halted_for_good() const { return halted_ && dead_halt_; }
    /// Something changed that the loop must look at before it enters the guest again: an interrupt, a timer.
    /// Own CPU.
    void attend_soon() { attention_ = true; }
    /// Leaves the loop at the next chance: partition work is waiting.
    void stop_running() { leave_loop_ = true; }
    /// An NMI for the guest.
    void nmi_pending() { nmi_pending_ = true, attention_ = true; }
    /// The hypercall in progress is #UD.
    void refuse_hypercall() { hypercall_refused_ = true; }
    /// Timers were reprogrammed: look when the next is due.
    void timers_changed() { timers_changed_ = true, attention_ = true; }
    /// Guest TSC = host TSC + this.
    u64 tsc_offset() const { return tsc_offset_; }
    void set_tsc_offset(u64 offset);
    /// The same where reference time has moved with it: what the guest reads from it stays valid.
    void shift_tsc(u64 offset);
    void dump();

    // For the debugger (debugger/vp_debugger.hpp), which takes the loop of run() into its own hands. On the
    // CPU where this is loaded.
    void begin_slice(Cpu&, u64 until_tsc);
    bool leaves_loop() const { return leave_loop_; }
    /// Timers and interrupts that are due.
    void attend_if_asked() {
        if (attention_) {
            attend(host_.now_tsc());
        }
    }
    /// Interrupts wait until attend_if_asked() is called again; a window for them is not asked for.
    void hold_interrupts();
    /// One entry, whatever waits. @param mind_timers come back when the guest's next timer is due
    /// @return valid until the next
    Exit const& enter(Cpu&, bool mind_timers);
    /// What the loop would do with that exit.
    void answer(Exit const&, Cpu&);
    /// The last exit was refused by a page guard: answer() left it to the debugger.
    std::optional<NestedFaultExit> take_guard_fault() { return std::exchange(guard_fault_, std::nullopt); }
    /// Ends a halt as an interrupt would, so that a step can go on behind HLT.
    void end_halt() { halted_ = dead_halt_ = false; }
    /// Lets the host's interrupts in and ends the turn when it is over or this CPU has been kicked. Due
    /// between an exception that is given back to the guest and the next entry.
    void mind_host(Cpu&);
    /// #DB for the guest, with these bits of DR6.
    void raise_debug(u64 causes);
    void inject_fault(GuestFault const& fault) { raise_fault(fault); }
    HardwareBreakpoints const& guest_breakpoints() const { return debug_registers_; }
    u64 guest_dr6() const { return dr6_; }
    /// Told when the guest has written its debug registers; null: they are armed as they are.
    void on_debug_registers(void (*changed)(void* context), void* context) {
        debug_registers_changed_ = changed, debug_registers_context_ = context;
    }
    /// CR0, CR2, CR3, CR4 or CR8 as if the guest had written it. @return false if it may not have this value
    bool set_control(u8 number, u64 value) { return write_control(number, value); }
    u64 control(u8 number) { return read_control(number); }
    bool set_state_msr(StateMsr msr, u64 value) { return write_state_msr(msr, value); }
    bool read_any_msr(u32 index, u64& value) { return read_msr(index, value); }
    /// The extended state in memory, in XSAVE's standard form; the registers have the same until
    /// fpu_changed() takes what was written there.
    std::span<u8> fpu_image();
    void fpu_changed();

  private:
    void attend(u64 now_tsc);
    void deliver_interrupts();
    void fire_timers(u64 now_tsc);
    u64 next_timer(u64 now_tsc) const;

    // exit_router.cpp
    void handle(Exit const&, Cpu&);
    /// Past the instruction that exited.
    void skip(Exit const& exit) {
        if (exit.instruction_bytes != 0) [[likely]] {
            hw_.advance(exit.instruction_bytes);
        } else {
            skip_unknown_length(exit);
        }
    }
    void skip_unknown_length(Exit const&);
    Exit const& answer_cpuid(Exit const& first, u64 deadline_tsc);
    void on_cpuid();
    void on_hypercall(Exit const&);
    void on_halt(Exit const&);
    void on_xsetbv(Exit const&);
    void on_exception(Exit const&);
    void stop_for(Exit const&, char const* why);
    void raise_fault(GuestFault const&);
    void raise_exception(u8 vector) { raise_fault(GuestFault::exception(vector)); }
    void raise_gp() { raise_fault(GuestFault::general_protection()); }
    void fail(EmulationFailure const&);
    ControlState control_state();

    // exits_msr.cpp
    void on_msr_read(Exit const&);
    void on_msr_write(Exit const&);
    bool read_msr(u32 index, u64& value);
    bool write_msr(u32 index, u64 value);
    bool write_state_msr(StateMsr, u64 value);

    // exits_memory.cpp
    void on_nested_fault(Exit const&);
    void on_unbacked_page(NestedFaultExit const&, mm::Touch);

    // exits_io.cpp
    void on_io(Exit const&);

    // exits_control.cpp
    void on_control_register(Exit const&);
    void on_debug_register(Exit const&);
    u64 read_control(u8 number);
    bool write_control(u8 number, u64 value);
    bool write_debug(u8 number, u64 value);

    Guest& guest_;
    HostServices& host_;
    VirtVcpu& hw_;
    u32 index_;
    bool attention_ = true;
    bool leave_loop_ = false;
    bool halted_ = false;
    bool dead_halt_ = false;
    bool timers_changed_ = true;
    bool loaded_ = false;
    bool nmi_pending_ = false;
    bool hypercall_refused_ = false;
    bool interrupt_window_ = false;
    u64 next_timer_tsc_ = kNever; ///< host TSC
    u64 tsc_offset_ = 0;
    u64 slice_end_tsc_ = 0;
    CpuidPolicy cpuid_;
    platform::LocalApic apic_;
    decode::LengthDecoder lengths_;
    FpuState fpu_;
    GuestMsrs msrs_;
    VpCounters counters_;
    std::optional<NestedFaultExit> guard_fault_;
    void (*debug_registers_changed_)(void*) = nullptr;
    void* debug_registers_context_ = nullptr;
    HardwareBreakpoints debug_registers_; ///< DR0–DR3 and DR7 of the guest, as it sees them
    u64 dr6_ = 0xffff'0ff0;
    u64 tsc_aux_ = 0;
};
} // namespace hv::partition
