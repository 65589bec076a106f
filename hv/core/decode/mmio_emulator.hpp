// SPDX-License-Identifier: Apache-2.0
// Carries out an instruction that touched a device page.
#pragma once
#include "hv/core/decode/emulation.hpp"
#include "hv/core/decode/string_io.hpp"
#include "hv/core/mmio_target.hpp"

namespace hv::decode {
/// Decodes and executes the one instruction at RIP: memory operands in RAM go to RAM, all others to
/// @p devices. Known: MOV in all forms but loads of segment registers, MOVNTI, MOVZX, MOVSX(D), XCHG, XADD,
/// CMPXCHG, ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, BT BTS BTR BTC, PUSH of memory, MOVS STOS
/// LODS with REP.
///
/// Registers and flags change only if it succeeds; repeated string instructions change them element by
/// element. LOCK is accepted but not atomic against the guest's other processors (devices have no such
/// notion). A nested fault of a ballooned page is not for this function: check the address first.
/// Does not allocate; needs about 2 KiB of stack.
/// Call it for data accesses of the instruction itself only (not NestedFaultExit::during_walk, not fetches).
/// An instruction without a memory operand is taken for code that another processor rewrote meanwhile: it
/// ends with advance 0, and a guest whose descriptor tables lie in a device keeps only itself busy.
/// @return bytes to advance RIP by, or the fault to inject, or Unsupported.
Result<Emulated, EmulationFailure> emulate_mmio(CpuView&, GuestAccess&, MmioTarget& devices);
} // namespace hv::decode
