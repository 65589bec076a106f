// SPDX-License-Identifier: Apache-2.0
// MOV CRn, MOV DRn, CLTS, LMSW and SMSW, decoded for hardware that reports only that one of them exited.
#pragma once
#include "hv/core/decode/code_fetch.hpp"

namespace hv::decode {
struct ControlInstruction {
    enum class Kind : u8 { MovToControl, MovFromControl, Clts, Lmsw, Smsw, MovToDebug, MovFromDebug } kind;
    u8 number = 0; ///< of the control or debug register
    Reg gpr = Reg::Rax;
    u8 operand_bytes = 8; ///< SMSW to a register: 2, 4 or 8; MOV: 4 or 8
    u16 lmsw_source = 0;
    bool to_memory = false; ///< SMSW
    u64 linear = 0;         ///< where then
    u8 length = 0;
};

/// Decodes the instruction at RIP, reading LMSW's memory operand. No privilege checks: CPL 0 was the
/// hardware's to check (SMSW has none, UMIP aside). Unsupported if it is something else.
Result<ControlInstruction, EmulationFailure> decode_control(CpuView&, GuestAccess&);

/// Stores CR0 where SMSW wants it: a register of its size, or 16 bits of memory.
Result<void, EmulationFailure> finish_smsw(CpuView&, GuestAccess&, ControlInstruction const&, u64 cr0);
/// Stores what MOV from CRn or DRn reads, by operand size.
void finish_move_from(CpuView&, ControlInstruction const&, u64 value);
} // namespace hv::decode
