// SPDX-License-Identifier: Apache-2.0
// The partition's interrupt wiring: finds the local APICs that a message is meant for. Devices and the
// Hyper-V interface see it as an InterruptSink, the APICs as their bus.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/apic_bus.hpp"
#include "hv/platform/local_apic.hpp"
#include <span>

namespace hv::platform {
/// Hears about EOIs of level-triggered interrupts.
class EoiListener {
  public:
    virtual ~EoiListener() = default;
    virtual void end_of_interrupt(u8 vector) = 0;
};

/// One per partition. Nothing allocates or blocks.
class InterruptFabric final : public InterruptSink, public ApicBus {
  public:
    struct Counters {
        u64 messages = 0;
        u64 undeliverable = 0; ///< nobody matched
        u64 illegal = 0;       ///< vector below 16, reserved delivery mode, or no such processor
    };

    /// @param slots one per virtual processor, kept by the caller, filled by add(); VP index = position.
    InterruptFabric(std::span<LocalApic*> slots, ProcessorEvents& events) : apics_{slots}, events_{events} {}

    /// Set-up only.
    void add(LocalApic& apic);
    /// Set-up only: the I/O APIC, or null.
    void set_eoi_listener(EoiListener* listener) { eoi_listener_ = listener; }

    void raise(u32 vp_index, u8 vector) override;
    void send(u32 from_vp, ApicMessage const&) override;
    void end_of_interrupt(u8 vector) override;
    void local_nmi(u32 vp_index) override { events_.nmi(vp_index); }

    /// From an I/O APIC entry or a device's message: no sender.
    void deliver(ApicMessage const& message) { send(kNoSender, message); }

    Counters const& counters() const { return counters_; }

  private:
    static constexpr u32 kNoSender = ~0u;
    bool targets(u32 from_vp, ApicMessage const&, LocalApic const&) const;
    void deliver_to(LocalApic&, ApicMessage const&);
    void raise_on(LocalApic&, u8 vector, bool level);

    std::span<LocalApic*> apics_;
    ProcessorEvents& events_;
    EoiListener* eoi_listener_ = nullptr;
    Counters counters_;
};
} // namespace hv::platform
