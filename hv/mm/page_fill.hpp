// SPDX-License-Identifier: Apache-2.0
// Whole pages zeroed and copied with the string instructions: no SSE state is touched and the compiler cannot
// turn them into calls.
#pragma once
#include "hv/base/types.hpp"

namespace hv::mm {
/// Zeroes @p bytes (a multiple of 8) at @p at.
inline void zero_words(void* at, u64 bytes) {
    u64 words = bytes / 8;
    asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ull) : "memory");
}
/// Copies @p bytes (a multiple of 8) between areas that do not overlap.
inline void copy_words(void* to, void const* from, u64 bytes) {
    u64 words = bytes / 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}
} // namespace hv::mm
