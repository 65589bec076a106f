// SPDX-License-Identifier: Apache-2.0
// What a guest can ask of its machine as a whole.
#pragma once
#include "hv/base/types.hpp"

namespace hv::platform {
enum class ResetCause : u8 { AcpiRegister, KeyboardController, ChipsetControl, FastReset };

/// Implemented by the partition. Called from inside a port access: note it and act when the access is done.
class PowerEvents {
  public:
    virtual ~PowerEvents() = default;
    virtual void reset(ResetCause) = 0;
    virtual void power_off() = 0;
};
} // namespace hv::platform
