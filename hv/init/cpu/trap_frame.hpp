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

/// First instruction of vector n: exception_entries + n * kEntryBytes.
extern "C" u8 const exception_entries[];
inline constexpr u64 kEntryBytes = 16;
} // namespace hv::init
