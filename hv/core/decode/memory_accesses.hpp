// SPDX-License-Identifier: Apache-2.0
// The memory that an instruction is about to access, for watchpoints that a page guard can only see roughly.
#pragma once
#include "hv/core/decode/code_fetch.hpp"

namespace hv::decode {
struct MemoryAccess {
    u64 linear = 0;
    u32 bytes = 0;
    bool read = false;
    bool write = false;
};

struct MemoryAccesses {
    static constexpr unsigned kMax = 8;
    MemoryAccess entry[kMax];
    u8 count = 0;
    /// false: there may be more (an instruction that cannot be decoded, gathers and scatters, state saving of
    /// unknown size): the fault's own address must decide.
    bool complete = true;

    std::span<MemoryAccess const> span() const { return {entry, count}; }
};

/// Operands and the stack, with registers as they are before the instruction. Of a repeated string
/// instruction the element that it is at (none if the count is 0). Not what the processor reads and writes on
/// its own behalf: descriptors, the TSS, frames of interrupts that change the stack. Does not touch memory;
/// about 1,500 instructions.
MemoryAccesses memory_accesses(CpuView&, Code const&);
} // namespace hv::decode
