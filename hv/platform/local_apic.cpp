// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/local_apic.hpp"

namespace hv::platform {
using apic::Register;

namespace {
/// Counts where several CPUs may: an increment may get lost, which a locked instruction is not worth.
void bump(u64& counter) {
    __atomic_store_n(&counter, __atomic_load_n(&counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}
} // namespace

LocalApic::LocalApic(Identity const& identity, ApicBus& bus, PartitionClock const& clock)
    : base_{0}, timer_{clock.tsc_hz(), identity.timer_hz}, bus_{bus}, clock_{clock}, identity_{identity} {
    reset();
}

void LocalApic::reset() {
    base_ = apic::kDefaultBase | apic::base::Enable::mask | apic::base::Bsp::of(identity_.bootstrap);
    init();
}

/// Source: SDM vol 3A, "Local APIC state after it receives an INIT reset".
void LocalApic::init() {
    irr_.clear_all();
    isr_.clear_all();
    tmr_.clear_all();
    timer_.reset();
    tpr_ = 0;
    svr_ = 0xff;
    ldr_ = 0;
    dfr_ = 0xffff'ffff;
    icr_ = 0;
    esr_ = 0;
    pending_errors_ = 0;
    for (u32& entry : lvt_) {
        entry = apic::lvt::Masked::mask;
    }
    update_priority();
}

bool LocalApic::raise(u8 vector, bool level) {
    if (vector < 16) {
        bump(counters_.illegal_vectors);
        return false;
    }
    if (!enabled() || !software_enabled()) {
        bump(counters_.dropped);
        return false;
    }
    // TMR first: whoever sees the request must see its trigger mode.
    if (level) {
        tmr_.set(vector);
    } else if (tmr_.test(vector)) {
        tmr_.clear(vector);
    }
    irr_.set(vector);
    bump(counters_.raised);
    return true;
}

u8 LocalApic::acknowledge() {
    int const highest = irr_.highest();
    if (highest <= threshold_) {
        ++counters_.spurious;
        return static_cast<u8>(apic::svr::Vector::get(svr_));
    }
    u8 const vector = static_cast<u8>(highest);
    irr_.clear(vector);
    isr_.set(vector);
    // Its class is above PPR's, so it is the new PPR.
    ppr_ = vector & 0xf0;
    threshold_ = vector | 0xf;
    return vector;
}

void LocalApic::eoi() {
    int const highest = isr_.highest();
    if (highest < 0) {
        return;
    }
    u8 const vector = static_cast<u8>(highest);
    isr_.clear(vector);
    update_priority();
    if (tmr_.test(vector)) {
        bus_.end_of_interrupt(vector);
    }
}

/// Source: SDM vol 3A, "Task and processor priorities".
void LocalApic::update_priority() {
    int const service = isr_.highest();
    int const service_class = service < 0 ? 0 : service >> 4;
    ppr_ = (tpr_ >> 4) >= service_class ? tpr_ : static_cast<u8>(service_class << 4);
    threshold_ = ppr_ | 0xf;
}

void LocalApic::set_task_priority(u8 value) {
    tpr_ = value;
    update_priority();
}

bool LocalApic::write_apic_base(u64 value) {
    u64 const writable =
        apic::base::Bsp::mask | apic::base::X2apic::mask | apic::base::Enable::mask | Bits<51, 12>::mask;
    bool const enable = apic::base::Enable::get(value) != 0;
    bool const x2 = apic::base::X2apic::get(value) != 0;
    bool const legal = (value & ~writable) == 0 && (enable || !x2) && // EXTD without EN does not exist
                       !(x2apic() && enable && !x2) && // x2APIC is left through "disabled" only
                       !(!enabled() && x2);            // and entered through xAPIC only
    if (!legal) {
        ++counters_.refused;
        return false;
    }
    bool const was_enabled = enabled();
    base_ = (value & ~apic::base::Bsp::mask) | apic::base::Bsp::of(identity_.bootstrap);
    if (was_enabled && !enable) {
        init(); // SDM, "x2APIC after reset" and "Disabling the local APIC": state is lost
    }
    return true;
}

/// x2APIC: cluster in 31:16, one bit of 15:0. Derived, never written.
u32 LocalApic::logical_id() const {
    return x2apic() ? (identity_.apic_id >> 4) << 16 | 1u << (identity_.apic_id & 0xf) : ldr_;
}

/// Source: SDM vol 3A, "Determining IPI destination" and "Extended message signaled interrupt / logical
/// x2APIC".
bool LocalApic::matches(ApicMessage const& message) const {
    if (!enabled()) {
        return false;
    }
    if (message.broadcast) {
        return true;
    }
    u32 const destination = message.destination;
    if (!message.logical) {
        return destination == identity_.apic_id;
    }
    u32 const own = logical_id();
    if (x2apic()) {
        return destination >> 16 == own >> 16 && (destination & own & 0xffff) != 0;
    }
    u32 const id8 = own >> 24;
    if (dfr_ >> 28 == 0xf) { // flat
        return (destination & id8) != 0;
    }
    return (destination & 0xf0) == (id8 & 0xf0) && (destination & id8 & 0xf) != 0; // cluster
}

void LocalApic::fire_timer(u64 guest_tsc) {
    if (timer_.take_expiry(guest_tsc)) {
        deliver_local(lvt(Register::LvtTimer) & apic::lvt::Vector::mask);
    }
}

u64 LocalApic::read_tsc_deadline() {
    return timer_.tsc_deadline(clock_.guest_tsc());
}

void LocalApic::write_tsc_deadline(u64 tsc) {
    timer_.set_tsc_deadline(tsc);
}

void LocalApic::error(u32 bit) {
    pending_errors_ |= bit;
    u32 const entry = lvt(Register::LvtError);
    u8 const vector = static_cast<u8>(apic::lvt::Vector::get(entry));
    // An illegal vector in the error entry itself must not recurse.
    if (apic::lvt::Masked::get(entry) == 0 && vector >= 16) {
        raise(vector);
    }
}

void LocalApic::deliver_local(u32 entry) {
    if (apic::lvt::Masked::get(entry) != 0) {
        return;
    }
    switch (static_cast<apic::Delivery>(apic::lvt::Mode::get(entry))) {
    case apic::Delivery::Fixed:
        if (apic::lvt::Vector::get(entry) < 16) {
            error(apic::esr::kReceiveIllegalVector);
            ++counters_.illegal_vectors;
        } else {
            raise(static_cast<u8>(apic::lvt::Vector::get(entry)));
        }
        break;
    case apic::Delivery::Nmi: bus_.local_nmi(identity_.vp_index); break;
    default: break; // SMI and ExtINT: there is no SMM and no 8259 behind it
    }
}

void LocalApic::pulse_lint(unsigned pin) {
    deliver_local(pin == 0 ? lvt(Register::LvtLint0) : lvt(Register::LvtLint1));
}
} // namespace hv::platform
