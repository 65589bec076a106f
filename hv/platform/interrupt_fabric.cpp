// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/interrupt_fabric.hpp"
#include "hv/base/assert.hpp"

namespace hv::platform {
void InterruptFabric::add(LocalApic& apic) {
    HV_ASSERT(apic.vp_index() < apics_.size() && apics_[apic.vp_index()] == nullptr);
    apics_[apic.vp_index()] = &apic;
}

void InterruptFabric::raise_on(LocalApic& apic, u8 vector, bool level) {
    if (apic.raise(vector, level)) {
        events_.interrupt_pending(apic.vp_index());
    }
}

void InterruptFabric::raise(u32 vp_index, u8 vector) {
    if (vp_index >= apics_.size() || apics_[vp_index] == nullptr) {
        ++counters_.illegal;
        return;
    }
    raise_on(*apics_[vp_index], vector, false);
}

bool InterruptFabric::targets(u32 from_vp, ApicMessage const& message, LocalApic const& apic) const {
    switch (message.shorthand) {
    case apic::Shorthand::Self: return apic.vp_index() == from_vp;
    case apic::Shorthand::All: return apic.enabled();
    case apic::Shorthand::AllButSelf: return apic.enabled() && apic.vp_index() != from_vp;
    case apic::Shorthand::None: break;
    }
    return apic.matches(message);
}

void InterruptFabric::deliver_to(LocalApic& apic, ApicMessage const& message) {
    switch (message.delivery) {
    case apic::Delivery::Fixed:
    case apic::Delivery::LowestPriority: raise_on(apic, message.vector, message.level); break;
    case apic::Delivery::Nmi: events_.nmi(apic.vp_index()); break;
    case apic::Delivery::Init: events_.init(apic.vp_index()); break;
    case apic::Delivery::StartUp: events_.start_up(apic.vp_index(), message.vector); break;
    default: ++counters_.illegal; break; // SMI, ExtINT and reserved modes have no receiver here
    }
}

void InterruptFabric::send(u32 from_vp, ApicMessage const& message) {
    ++counters_.messages;
    bool const lowest = message.delivery == apic::Delivery::LowestPriority;
    // The usual message names one processor, and processors' APIC IDs usually are their positions.
    if (message.shorthand == apic::Shorthand::None && !message.logical && !message.broadcast &&
        message.destination < apics_.size()) {
        LocalApic* const direct = apics_[message.destination];
        if (direct != nullptr && direct->apic_id() == message.destination && direct->enabled()) {
            deliver_to(*direct, message);
            return;
        }
    }
    LocalApic* chosen = nullptr;
    bool delivered = false;
    for (LocalApic* apic : apics_) {
        if (apic == nullptr || !targets(from_vp, message, *apic)) {
            continue;
        }
        if (lowest) {
            if (chosen == nullptr || apic->processor_priority() < chosen->processor_priority()) {
                chosen = apic;
            }
            continue;
        }
        deliver_to(*apic, message);
        delivered = true;
    }
    if (chosen != nullptr) {
        deliver_to(*chosen, message);
    } else if (!delivered) {
        ++counters_.undeliverable;
    }
}

void InterruptFabric::end_of_interrupt(u8 vector) {
    if (eoi_listener_ != nullptr) {
        eoi_listener_->end_of_interrupt(vector);
    }
}
} // namespace hv::platform
