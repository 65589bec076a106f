// SPDX-License-Identifier: Apache-2.0
// One virtual processor on VMX: a VMCS, the registers beside it, and what must be done before the next entry.
// RIP, RSP, RFLAGS and the interrupt shadow are cached: read from the VMCS once after an exit and only if
// somebody asks, written back only if changed. Everything else goes straight to the VMCS.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/vmx/backend.hpp"
#include "hv/vmx/control_views.hpp"
#include "hv/vmx/current_vmcs.hpp"
#include "hv/vmx/ept_table.hpp"
#include "hv/vmx/event_codec.hpp"
#include "hv/vmx/live_state.hpp"
#include "hv/vmx/world_switch.hpp"

namespace hv::vmx {
class VmxVcpu final : public VirtVcpu {
  public:
    /// @param region a zeroed frame for the VMCS
    VmxVcpu(VmxBackend& backend, HostFrames& frames, VcpuSetup const& setup, void* region);
    VmxVcpu(VmxVcpu const&) = delete;
    ~VmxVcpu() override;

    void load() override;
    void unload() override;
    Exit const& run(u64 deadline_tsc) override;
    void advance(u8 instruction_bytes) override;
    void inject(Event const& event) override;
    std::optional<Event> waiting_event() override;
    bool can_take_interrupt() override;
    bool can_take_nmi() override;
    void request_interrupt_window(bool wanted) override;

    u64 read(Reg reg) override;
    void write(Reg reg, u64 value) override;
    Segment read(Seg seg) override;
    void write(Seg seg, Segment const& value) override;
    DescriptorTable read_gdtr() override;
    DescriptorTable read_idtr() override;
    void write_gdtr(DescriptorTable const& table) override;
    void write_idtr(DescriptorTable const& table) override;
    u64 read(ControlReg reg) override;
    void write(ControlReg reg, u64 value) override;
    u64 read(StateMsr msr) override;
    void write(StateMsr msr, u64 value) override;
    void set_tsc_aux(u64 value) override;
    void arm_breakpoints(HardwareBreakpoints const& wanted) override;
    u8 cpl() override;
    bool in_64bit_code() override;
    void set_tsc_offset(u64 offset) override;
    void clear_interrupt_shadow() override;
    void intercept_exceptions(u32 vectors) override;
    void report_cr3_writes(bool wanted) override;
    void step_once() override;
    bool steps_exactly() const override { return backend_.controls().has_monitor_trap; }
    bool breakpoints_ignore_cs_base() const override { return false; }
    void reset() override;
    void dump() override;

    void* vmcs_region() const { return region_; }

  private:
    /// Bits of valid_ (cached value is the VMCS's) and of work_ (to do before the next entry).
    enum Work : u32 {
        kRip = 1u << 0,
        kRsp = 1u << 1,
        kRflags = 1u << 2,
        kShadow = 1u << 3,      ///< interruptibility state
        kEvent = 1u << 4,       ///< pending_ holds something to deliver
        kTripleFault = 1u << 5, ///< three faults in a row: do not enter at all
        kFlushNested = 1u << 6, ///< translations of guest-physical addresses
        kFlushLinear =
            1u << 7, ///< translations of linear addresses: a control register was written for the guest
        kLoadPdptes = 1u << 8,  ///< the guest's PAE directory pointers must be fetched anew
        kTrapFlag = 1u << 9,    ///< RFLAGS.TF is or was set: pending debug exceptions need care
        kControls = 1u << 10,   ///< the primary controls changed
        kExceptions = 1u << 11, ///< the exception bitmap changed
        kLaunch = 1u << 12,     ///< the VMCS was cleared: enter by VMLAUNCH
    };

    static constexpr u32 kShadowBits =
        arch::vmx::interruptibility::BlockingBySti::mask | arch::vmx::interruptibility::BlockingByMovSs::mask;

    // vcpu.cpp: entry
    Exit const& run_with_work();
    Exit const& finish_run(u32 reason);
    Exit const& finish_run_slowly(u32 reason);
    Exit const& shut_down();
    Exit const& entry_refused(u32 failure);
    Exit const& turned_back();
    Exit const& report_due_debug();
    u32 enter();
    bool prepare_entry();
    void set_timer(u64 deadline_tsc);
    void write_pending_event();
    void settle_pending_debug();
    void flush_translations();
    void load_pdptes();
    void advance_cached(u8 instruction_bytes);

    // vcpu_exit.cpp
    bool finish_exit(u32 reason);
    void finish_nested_fault();
    bool finish_exception();
    bool finish_debug_exception(u64 type);
    bool report_debug(u64 causes, u8 instruction_bytes);
    bool finish_control_register();
    bool recall_interrupted_delivery();
    void deliver_again(u32 information);
    void note_fault_like_exit();

    // vcpu_step.cpp
    void begin_step();
    void end_step();
    void cancel_step();
    bool finish_step(u32 reason);
    bool finish_trap_flag_step(u64 causes);
    bool finish_monitor_trap();

    // vcpu_state.cpp
    [[gnu::cold]] void initialise_vmcs();
    void sync_long_mode();
    void switch_interrupt_window(bool on) {
        switch_primary(arch::vmx::primary::InterruptWindowExiting::mask, on);
    }
    void switch_primary(u64 control, bool on);
    void load_debug_registers();

    u64 rip() {
        if ((valid_ & kRip) == 0) {
            rip_ = vmcs_.read(arch::vmcs::guest_rip);
            valid_ |= kRip;
        }
        return rip_;
    }
    u64 rsp() {
        if ((valid_ & kRsp) == 0) {
            rsp_ = vmcs_.read(arch::vmcs::guest_rsp);
            valid_ |= kRsp;
        }
        return rsp_;
    }
    u64 rflags() {
        if ((valid_ & kRflags) == 0) {
            rflags_ = vmcs_.read(arch::vmcs::guest_rflags);
            valid_ |= kRflags;
        }
        return rflags_;
    }
    u32 shadow() {
        if ((valid_ & kShadow) == 0) {
            shadow_ = vmcs_.read(arch::vmcs::guest_interruptibility_state);
            valid_ |= kShadow;
        }
        return shadow_;
    }
    void set_rip(u64 value) { rip_ = value, valid_ |= kRip, work_ |= kRip; }
    void set_rsp(u64 value) { rsp_ = value, valid_ |= kRsp, work_ |= kRsp; }
    void set_rflags(u64 value) { rflags_ = value, valid_ |= kRflags, work_ |= kRflags; }
    void set_shadow(u32 value) { shadow_ = value, valid_ |= kShadow, work_ |= kShadow; }

    CurrentVmcs vmcs_;
    u64 host_rsp_ = 0; ///< what the VMCS holds
    u32 valid_ = 0;
    u32 work_ = 0;
    u64 rip_ = 0, rsp_ = 0, rflags_ = 0;
    u32 shadow_ = 0;
    EptTable* nested_;
    u64 flushed_generation_ = 0;
    u64 timer_deadline_ = ~0ull; ///< what the preemption timer was last set for
    u32 timer_uses_ = 1;         ///< entries until it is set again
    Exit exit_;

    PendingEvent pending_;
    u32 primary_ = 0;         ///< primary controls as wanted
    u32 exceptions_ = 0;      ///< vectors that the core asked for
    u32 step_exceptions_ = 0; ///< those that exit for one entry because it is a step
    u32 step_shadow_ = 0;     ///< the guest's interrupt shadow, taken out for a step by TF
    u32 step_window_ = 0;     ///< interrupt-window exiting, the same
    bool step_wanted_ = false;
    bool step_by_trap_flag_ = false; ///< TF was set by us for one entry
    bool step_guest_tf_ = false;     ///< the guest's own TF in that time
    u64 debug_due_ = 0;              ///< causes of a #DB that the next run() reports before all else
    HardwareBreakpoints breakpoints_;
    bool fresh_ = true; ///< the VMCS was never written
    u64 pat_ = 0;       ///< where the machine cannot switch it
    LiveState live_;    ///< while not loaded

    VmxBackend& backend_;
    HostFrames& frames_;
    void* region_;
    CpuSlot* slot_ = nullptr; ///< where it is loaded
    u64 eptp_ = 0;
    u16 vpid_ = 0;
};
} // namespace hv::vmx
