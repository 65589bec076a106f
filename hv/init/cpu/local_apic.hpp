// SPDX-License-Identifier: Apache-2.0
// This CPU's local APIC: end of interrupt, one-shot timer, interrupts to other CPUs. xAPIC through an
// uncached mapping, or x2APIC where firmware left it on; the mode is never changed (neither bed can come
// back, emulator-quirks).
#pragma once
#include "hv/arch/local_apic_registers.hpp"
#include "hv/base/types.hpp"

namespace hv::init {
class LocalApic {
  public:
    constexpr LocalApic() = default;

    /// Physical address of the register page, from IA32_APIC_BASE; 0 when x2APIC mode is on and nothing need
    /// be mapped.
    static u64 register_page();
    /// Once, on the boot processor. @p registers: where register_page() is mapped, null for x2APIC.
    void attach(void volatile* registers) {
        registers_ = static_cast<u8 volatile*>(registers), attached_ = true;
    }
    bool attached() const { return attached_; }
    bool x2apic() const { return registers_ == nullptr; }

    /// Brings this CPU's APIC to its first state: enabled, every local source but LINT1 masked, timer
    /// stopped.
    void initialise();
    u32 id() const;
    u32 version() const;
    void end_of_interrupt() { write(arch::apic::kEoi, 0); }
    /// Whether @p vector was delivered by the APIC and waits for its end of interrupt.
    bool in_service(u8 vector) const;

    /// One interrupt kTimerVector after @p count ticks; 0 stops the timer.
    void start_timer(u32 count) { write(arch::apic::kInitialCount, count); }
    u32 timer_count() const { return read(arch::apic::kCurrentCount); }

    void send_nmi(u32 apic_id) { send(apic_id, arch::apic::command(arch::apic::kDeliverNmi, 0)); }
    void send_init(u32 apic_id) { send(apic_id, arch::apic::command(arch::apic::kDeliverInit, 0)); }
    /// @param page  number of the 4 KiB page below 1 MiB where the processor starts in real mode
    void send_startup(u32 apic_id, u8 page) {
        send(apic_id, arch::apic::command(arch::apic::kDeliverStartup, page));
    }
    void send_nmi_to_all_others() {
        send(0, arch::apic::command(arch::apic::kDeliverNmi, 0, arch::apic::kAllButSelf));
    }

  private:
    u32 read(u32 offset) const;
    void write(u32 offset, u32 value);
    void send(u32 apic_id, u32 command);

    u8 volatile* registers_ = nullptr;
    bool attached_ = false;
};

/// The one of the CPU this runs on: all CPUs see theirs at the same address.
LocalApic& local_apic();

/// Masks both 8259s, which firmware may have left delivering.
void mask_legacy_interrupts();
} // namespace hv::init
