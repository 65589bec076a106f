// SPDX-License-Identifier: Apache-2.0
// Which instructions a trap flag cannot step, and what of them a debugger has to know.
#pragma once
#include "hv/core/decode/code_fetch.hpp"

namespace hv::decode {
struct StepInstruction {
    enum class Kind : u8 {
        Ordinary, ///< none of those below, or no instruction at all; nothing else is filled in
        PushFlags,
        PopFlags,
        InterruptReturn,
        SoftwareInterrupt, ///< INT n, INT3, INTO with OF set: `vector`
        Syscall,
        Sysret,
        Sysenter,
        Sysexit,
        RepeatedString, ///< with REP, REPE or REPNE
        SetInterrupts,  ///< STI
        MovToStackSegment,
        PopStackSegment,
    } kind = Kind::Ordinary;
    u8 length = 0;
    u8 operand_bytes = 0; ///< of the image, the popped slot, or the return address: 2, 4 or 8
    u8 vector = 0;
    bool int_n = false; ///< INT n proper, the only one that virtual-8086 mode may refuse or redirect
    /// MovToStackSegment, PopStackSegment: where the selector is.
    bool from_memory = false;
    bool stack_operand = false; ///< the memory operand is in SS: a fault there is #SS
    u64 linear = 0;
    Reg from = Reg::Rax;
};

/// A look at the first three bytes of 64-bit code: true says that step_instruction() will find it Ordinary,
/// as it does most. Some ten instructions.
bool looks_ordinary(u8 const* bytes);

/// Tells what @p code starts with. Ordinary ones take some 50 instructions and no decoder. What would raise
/// #UD, or #GP or #SS for its memory operand, is Ordinary.
StepInstruction step_instruction(CpuView&, Code const&);
} // namespace hv::decode
