// SPDX-License-Identifier: Apache-2.0
// What travels between the APICs of one partition, and what reaches its virtual processors from there.
#pragma once
#include "hv/platform/apic_registers.hpp"

namespace hv::platform {
/// One interrupt message, from an ICR or an I/O APIC entry.
struct ApicMessage {
    apic::Delivery delivery = apic::Delivery::Fixed;
    u8 vector = 0;
    bool level = false;     ///< level-triggered: the target's TMR bit
    bool logical = false;   ///< destination mode
    bool broadcast = false; ///< the sender's all-ones destination
    u32 destination = 0;
    apic::Shorthand shorthand = apic::Shorthand::None;
};

/// Carries messages between APICs. Implemented by InterruptFabric.
class ApicBus {
  public:
    virtual ~ApicBus() = default;
    virtual void send(u32 from_vp, ApicMessage const&) = 0;
    /// EOI of a level-triggered vector, for the I/O APICs.
    virtual void end_of_interrupt(u8 vector) = 0;
    /// LINT1 or another NMI source of this processor alone.
    virtual void local_nmi(u32 vp_index) = 0;
};

/// What APICs ask of the partition's processors. Implemented by the core; may be called from any physical
/// CPU that runs one of the partition's processors, and must only note and wake, not run anything.
class ProcessorEvents {
  public:
    virtual ~ProcessorEvents() = default;
    /// The processor's APIC took a new request: wake it from HLT, or kick it when it runs elsewhere.
    virtual void interrupt_pending(u32 vp_index) = 0;
    virtual void nmi(u32 vp_index) = 0;
    /// INIT: at the processor's next stop, VirtVcpu::reset(), LocalApic::init(), and wait for start-up.
    virtual void init(u32 vp_index) = 0;
    /// SIPI: from wait-for-SIPI, real mode at vector << 12; otherwise ignored.
    virtual void start_up(u32 vp_index, u8 vector) = 0;
};
} // namespace hv::platform
