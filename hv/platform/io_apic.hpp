// SPDX-License-Identifier: Apache-2.0
// The I/O APIC: 24 input pins, each with an entry that says which interrupt it makes.
// Source: Intel 82093AA I/O Advanced Programmable Interrupt Controller datasheet.
#pragma once
#include "hv/platform/interrupt_fabric.hpp"
#include "hv/platform/interrupt_line.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
/// One per partition, at kIoApicBase, GSIs 0–23. Calls are serialised by the caller.
class IoApic final : public EoiListener {
  public:
    static constexpr unsigned kPins = 24;
    static constexpr u32 kMmioBytes = 0x1000;
    struct Counters {
        u64 delivered = 0;
        u64 masked = 0;  ///< edges that came while the pin was masked: lost, as in hardware
        u64 illegal = 0; ///< vectors below 16 and modes nobody receives
    };

    /// Subscribes itself to EOIs at @p fabric.
    explicit IoApic(InterruptFabric& fabric);
    IoApic(IoApic const&) = delete;
    IoApic& operator=(IoApic const&) = delete;

    /// Pin @p number as a device's output.
    InterruptLine& pin(unsigned number);
    void set_pin(unsigned number, bool asserted);
    void end_of_interrupt(u8 vector) override;

    /// 32-bit accesses to the index (0) and data (10h) windows; others read 0 and do nothing.
    u64 read_mmio(u32 offset, u8 size_bytes) const;
    void write_mmio(u32 offset, u8 size_bytes, u64 value);

    void reset();
    u64 entry(unsigned pin) const { return entries_[pin]; }
    Counters const& counters() const { return counters_; }

  private:
    class Pin final : public InterruptLine {
      public:
        void set(bool asserted) override { owner->set_pin(number, asserted); }
        IoApic* owner = nullptr;
        unsigned number = 0;
    };
    u32 read_register() const;
    void write_register(u32 value);
    void deliver(unsigned pin);

    InterruptFabric& fabric_;
    u64 entries_[kPins] = {};
    u32 asserted_ = 0; ///< pins whose line is high
    u8 index_ = 0;
    u8 id_ = 0;
    Pin pins_[kPins];
    Counters counters_;
};
} // namespace hv::platform
