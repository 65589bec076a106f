// SPDX-License-Identifier: Apache-2.0
// The model-specific registers that are plain storage or constants: MTRRs and the few that kernels probe.
// What the hardware switches is StateMsr, the virtual APIC and the Hyper-V interface have their own.
// Everything else is #GP.
#pragma once
#include "hv/base/types.hpp"
#include <optional>

namespace hv {
class GuestMsrs {
  public:
    GuestMsrs() { reset(); }
    /// Values as firmware would leave them: all memory write-back.
    void reset();
    /// The value, or nothing: #GP(0).
    std::optional<u64> read(u32 index) const;
    /// false: #GP(0), nothing changed.
    bool write(u32 index, u64 value);

  private:
    static constexpr u32 kVariablePairs = 8;
    static constexpr u32 kFixedCount = 11;
    u64 variable_[2 * kVariablePairs];
    u64 fixed_[kFixedCount];
    u64 default_type_;
    u64 misc_enable_;
    u64 amd_hwcr_;
    u64 amd_nb_cfg_;
};
} // namespace hv
