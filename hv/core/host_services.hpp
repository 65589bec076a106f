// SPDX-License-Identifier: Apache-2.0
// What the physical machine does for the core: a one-shot timer, kicks, idling, time. Implemented once by
// hv/init/cpu; a fake in tests. All calls run with interrupts masked.
#pragma once
#include "hv/core/cpu.hpp"
#include "hv/core/fpu_state.hpp"
#include <span>

namespace hv {
class HostServices {
  public:
    virtual ~HostServices() = default;

    /// Sees to it that an interrupt arrives on this CPU at host TSC @p deadline_tsc at the latest (kNever:
    /// none needed; in the past: at once). May leave an earlier one armed: then a run ends early, finds
    /// nothing to do and arms again. So a deadline that moves later, or stays, costs one comparison.
    void arm_timer(Cpu& cpu, u64 deadline_tsc) {
        if (deadline_tsc < cpu.armed_deadline_tsc) {
            set_timer(cpu, deadline_tsc);
        }
    }
    /// Makes CPU @p index leave the guest or wake from wait(), and sets its Cpu::kicked. Any CPU, itself too.
    virtual void kick(u32 index) = 0;
    /// Lets pending host interrupts in: their handlers run, then interrupts are masked again.
    virtual void take_interrupts(Cpu&) = 0;
    /// Halts until an interrupt or a kick; returns at once when Cpu::kicked is set already. Clears kicked.
    virtual void wait(Cpu&) = 0;

    virtual std::span<Cpu* const> cpus() const = 0; ///< those that run, by index
    virtual u64 now_tsc() const = 0;                ///< RDTSC of this CPU
    virtual u64 tsc_hz() const = 0;                 ///< of the host, the same on all CPUs
    /// 100 ns units since 1601-01-01 UTC; from 2000-01-01 on where the firmware did not tell.
    virtual u64 wall_clock() const = 0;

    /// The size and components of every FpuState.
    virtual FpuLayout const& fpu_layout() const = 0;
    /// Saves the processor's extended state and the guest's XCR0 into @p state.
    virtual void save_fpu(FpuState& state) = 0;
    /// Loads all of it, XCR0 last: nothing of what was there before stays.
    virtual void load_fpu(FpuState const& state) = 0;
    /// XSETBV for the loaded guest: @p xcr0 was checked against what it may have.
    virtual void set_guest_xcr0(u64 xcr0) = 0;
    /// XCR0 of the loaded guest, read back: not every machine lets XSETBV be intercepted.
    virtual u64 guest_xcr0() const = 0;

  protected:
    virtual void set_timer(Cpu&, u64 deadline_tsc) = 0;
};
} // namespace hv
