// SPDX-License-Identifier: Apache-2.0
// What exception_entry.S leaves on the stack: the interrupted code's registers.
#pragma once
#include "hv/base/types.hpp"

namespace hv::init {
struct TrapFrame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector;
    u64 error_code; ///< 0 where the vector has none
    u64 rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(TrapFrame) == 22 * 8);

extern "C" u8 const exception_entries[]; ///< 32 of 16 bytes
extern "C" u8 const interrupt_entries[]; ///< the other vectors, seven in 32 bytes, four apart

/// First instruction of a vector's handler.
inline u8 const* entry_of(unsigned vector) {
    unsigned const interrupt = vector - 32;
    return vector < 32 ? exception_entries + vector * 16
                       : interrupt_entries + interrupt / 7 * 32 + interrupt % 7 * 4;
}
} // namespace hv::init
