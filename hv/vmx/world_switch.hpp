// SPDX-License-Identifier: Apache-2.0
// The two symbols of world_switch.S.
#pragma once
#include "hv/base/types.hpp"

namespace hv::vmx {
/// What the stub keeps between entries; offsets are used in assembly.
struct SwitchState {
    u64 host_rsp = 0; ///< the value of the VMCS's host RSP field
    u8 launched = 0;  ///< enter by VMRESUME rather than VMLAUNCH
};
static_assert(offsetof(SwitchState, host_rsp) == 0 && offsetof(SwitchState, launched) == 8);

enum class SwitchResult : u32 { Exited = 0, FailInvalid = 1, FailValid = 2 };

/// Loads the general registers at @p gprs (index hv::Reg; RSP's slot apart), enters the guest of the current
/// VMCS, and stores them again when it exits. Interrupts must be masked.
/// @return Exited, or how the instruction failed, in which case nothing has run.
extern "C" SwitchResult hv_vmx_world_switch(u64* gprs, SwitchState* state);
/// Where VM exits arrive: for the host RIP field only.
extern "C" void hv_vmx_exit_entry();
} // namespace hv::vmx
