// SPDX-License-Identifier: Apache-2.0
// The guest-physical addresses with a device behind them, as one virtual processor sees them.
#pragma once
#include "hv/core/mmio_target.hpp"
#include "hv/platform/io_apic.hpp"
#include "hv/platform/local_apic.hpp"

namespace hv::platform {
/// One per virtual processor: the local APIC's page is its own, wherever IA32_APIC_BASE has put it, and it
/// hides what lies below. Everything unclaimed reads all ones.
class MmioMap final : public MmioTarget {
  public:
    struct Counters {
        u64 local_apic = 0;
        u64 io_apic = 0;
        u64 absent = 0;
    };
    MmioMap(LocalApic& local, IoApic& io) : local_{local}, io_{io} {}

    u64 read(Gpa, u8 size_bytes) override;
    void write(Gpa, u8 size_bytes, u64 value) override;
    /// Is there a device at this address? For choosing between emulation and other explanations of a fault.
    bool claims(Gpa at) const { return in_local_apic(at) || in_io_apic(at); }
    Counters const& counters() const { return counters_; }

  private:
    bool in_local_apic(Gpa at) const {
        return local_.enabled() && !local_.x2apic() && at.page() == local_.mmio_base();
    }
    static bool in_io_apic(Gpa at) { return at.page().raw == kIoApicBase; }

    LocalApic& local_;
    IoApic& io_;
    Counters counters_;
};
} // namespace hv::platform
