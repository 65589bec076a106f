// SPDX-License-Identifier: Apache-2.0
// One virtual local APIC: xAPIC by MMIO and x2APIC by MSRs over the same state.
//
//   devices, IPIs ──► raise() ──► IRR ──► acknowledge() ──► ISR ──► eoi()
//   (any CPU, atomic)              │ highest > PPR?                  │ level: I/O APICs told
//                                  └ has_deliverable(): cached threshold, no scan of ISR
//
// Source: Intel SDM vol 3A, "Advanced programmable interrupt controller (APIC)".
#pragma once
#include "hv/base/addr.hpp"
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/apic_bus.hpp"
#include "hv/platform/apic_timer.hpp"
#include "hv/platform/vector_set.hpp"

namespace hv::platform {
/// Except for raise() and matches(), all calls are made by the physical CPU that runs this virtual processor.
/// Nothing allocates, blocks or logs. "false = #GP" below: the register is untouched and the guest is owed
/// #GP(0).
class LocalApic {
  public:
    struct Identity {
        u32 vp_index;
        u32 apic_id;
        bool bootstrap;
        u32 timer_hz; ///< the APIC frequency that the guest is told (Hyper-V MSR 40000023h)
    };
    struct Counters {
        u64 raised = 0;          ///< requests accepted into IRR
        u64 dropped = 0;         ///< while disabled
        u64 illegal_vectors = 0; ///< below 16
        u64 spurious = 0;        ///< acknowledge() with nothing to deliver
        u64 refused = 0;         ///< register accesses answered with #GP
    };

    LocalApic(Identity const&, ApicBus&, PartitionClock const&);
    LocalApic(LocalApic const&) = delete;
    LocalApic& operator=(LocalApic const&) = delete;

    // --- interrupts ---------------------------------------------------------------------------------------

    /// Requests a fixed interrupt. Any physical CPU. The caller wakes the processor.
    /// @return whether IRR took it (enabled, legal vector).
    bool raise(u8 vector, bool level = false);
    /// Is there a request above PPR? Costs one load when nothing waits. RFLAGS.IF is the caller's business.
    bool has_deliverable() const { return irr_.highest() > threshold_; }
    /// Moves the highest request into service. Call only after has_deliverable().
    /// @return the vector to inject (the spurious vector if nothing was deliverable).
    u8 acknowledge();
    /// End of interrupt: the highest in service is done.
    void eoi();
    /// LINT pin @p pin (0 or 1) pulsed; an NMI button is pin 1 of every processor.
    void pulse_lint(unsigned pin);

    u8 task_priority() const { return tpr_; }
    u64 cr8() const { return tpr_ >> 4; }
    /// MOV to CR8; values above 15 are the caller's #GP.
    void set_cr8(u64 value) { set_task_priority(static_cast<u8>(value << 4)); }
    u8 processor_priority() const { return ppr_; }

    // --- timer --------------------------------------------------------------------------------------------

    /// Guest TSC at which on_time() must be called, or kNever.
    u64 next_deadline() const { return timer_.next_deadline(); }
    /// Fires what is due. Cheap when nothing is.
    void on_time(u64 guest_tsc) {
        if (guest_tsc >= timer_.next_deadline()) {
            fire_timer(guest_tsc);
        }
    }
    /// The guest writes its TSC: from now on it is @p ticks (modulo 2^64) further. The clock has not followed
    /// yet.
    void tsc_moves(u64 ticks) {
        on_time(clock_.guest_tsc());
        timer_.tsc_moves(ticks);
    }
    u64 read_tsc_deadline();          ///< IA32_TSC_DEADLINE
    void write_tsc_deadline(u64 tsc); ///< any value is legal

    // --- registers ----------------------------------------------------------------------------------------

    u64 apic_base() const { return base_; }
    /// IA32_APIC_BASE with the state transitions of SDM "x2APIC state transitions". false = #GP.
    [[nodiscard]] bool write_apic_base(u64 value);
    bool enabled() const { return apic::base::Enable::get(base_) != 0; }
    bool x2apic() const { return apic::base::X2apic::get(base_) != 0; }
    /// Where the MMIO page lies, meaningful while enabled() and not x2apic().
    Gpa mmio_base() const { return {base_ & Bits<51, 12>::mask}; }

    /// MSRs 800h–8FFh. false = #GP.
    [[nodiscard]] bool read_msr(u32 index, u64& value);
    [[nodiscard]] bool write_msr(u32 index, u64 value) {
        if (index == apic::kFirstMsr + static_cast<u32>(apic::Register::Eoi) && value == 0 && x2apic()) {
            eoi(); // by far the commonest
            return true;
        }
        return write_other_msr(index, value);
    }
    /// The xAPIC page. Only 32-bit accesses on 16-byte boundaries are defined; narrower or shifted reads see
    /// the register's bytes, such writes do nothing. @param offset below 4096.
    u64 read_mmio(u32 offset, u8 size_bytes);
    void write_mmio(u32 offset, u8 size_bytes, u64 value);

    // --- life ---------------------------------------------------------------------------------------------

    /// INIT: registers as after reset; ID, mode and base stay.
    void init();
    /// Power-on reset of the partition: xAPIC mode, software-disabled.
    void reset();

    u32 vp_index() const { return identity_.vp_index; }
    u32 apic_id() const { return identity_.apic_id; }
    /// Is this processor among a message's targets (shorthand apart)? Any physical CPU.
    bool matches(ApicMessage const&) const;
    Counters const& counters() const { return counters_; }

  private:
    bool read(apic::Register, u64& value);
    bool write(apic::Register, u64 value);
    bool write_other_msr(u32 index, u64 value);
    bool write_lvt(apic::Register, u32 value);
    bool write_svr(u32 value);
    void write_icr(u64 value);
    void set_task_priority(u8);
    void update_priority();
    void fire_timer(u64 guest_tsc);
    void error(u32 bit);
    void deliver_local(u32 lvt_entry);
    bool software_enabled() const { return apic::svr::Enable::get(svr_) != 0; }
    u32 logical_id() const;
    u32& lvt(apic::Register r) {
        return lvt_[static_cast<u8>(r) - static_cast<u8>(apic::Register::LvtTimer)];
    }
    static u32 lvt_writable(apic::Register);

    // What every exit touches comes first.
    AtomicVectorSet irr_;
    int threshold_ = 15; ///< a request must exceed this: PPR's class, all ones below
    u8 ppr_ = 0;
    u8 tpr_ = 0;
    VectorSet isr_;
    AtomicVectorSet tmr_;
    u64 base_;
    ApicTimer timer_;
    ApicBus& bus_;
    PartitionClock const& clock_;
    Identity identity_;

    u32 svr_ = 0xff;
    u32 ldr_ = 0; ///< xAPIC mode, bits 31:24
    u32 dfr_ = 0xffff'ffff;
    u64 icr_ = 0;
    u32 lvt_[6] = {};
    u32 esr_ = 0;
    u32 pending_errors_ = 0;
    Counters counters_;
};
} // namespace hv::platform
