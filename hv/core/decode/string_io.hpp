// SPDX-License-Identifier: Apache-2.0
// INS and OUTS with REP, by address size and segment, for hardware that only reports port and direction.
#pragma once
#include "hv/core/decode/emulation.hpp"
#include "hv/core/mmio_target.hpp"

namespace hv::decode {
/// Elements moved by one call at most: a guest's REP does not hold the host up longer than that.
inline constexpr u32 kElementsPerCall = 256;

/// Carries out the INS or OUTS at RIP for an Io exit with `string` set. Element by element; a fault in the
/// middle leaves the registers at the element that faulted, as the processor does.
/// @param devices where its memory operand may lie too, as that of any other instruction
/// @param exit port, size and direction as the hardware reported them.
Result<Emulated, EmulationFailure> string_io(CpuView&, GuestAccess&, MmioTarget& devices, PortTarget&,
                                             IoExit const& exit);
} // namespace hv::decode
