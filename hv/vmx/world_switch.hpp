// SPDX-License-Identifier: Apache-2.0
// The symbols of world_switch.S.
#pragma once
#include "hv/base/types.hpp"

namespace hv::vmx {
/// What comes back from the world switch when the instruction itself failed; no exit reason looks like these.
inline constexpr u32 kVmFailInvalid = 0xffff'ffff; ///< there is no current VMCS
inline constexpr u32 kVmFailValid = 0xffff'fffe;   ///< the VM-instruction error field says why
inline constexpr u32 kKicked = 0xffff'fffd;        ///< not entered: *VirtVcpu::kicked was not 0

/// Loads the general registers at @p gprs (index hv::Reg; RSP's slot apart), enters the guest of the current
/// VMCS by VMRESUME, and stores them again when it exits. Interrupts must be masked. GS base is the address
/// of VirtVcpu::kicked's target, here and in the host-state area.
/// @param host_rsp the value of the VMCS's host RSP field, brought up to date here
/// @return the exit reason field, or kKicked or kVmFail…: then nothing has run.
extern "C" u32 hv_vmx_resume(u64* gprs, u64* host_rsp);
/// The same by VMLAUNCH: for the first entry after VMCLEAR.
extern "C" u32 hv_vmx_launch(u64* gprs, u64* host_rsp);
/// Where VM exits arrive: for the host RIP field only.
extern "C" void hv_vmx_exit_entry();
} // namespace hv::vmx
