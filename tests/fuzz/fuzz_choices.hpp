// SPDX-License-Identifier: Apache-2.0
// Choices that cost a fuzzer's input one or two bytes, for targets that take many small steps.
#pragma once
#include "tests/fuzz/fuzz_input.hpp"
#include <vector>

namespace hv::test {
/// 0 … limit − 1, limit at most 65536.
inline u32 below(FuzzInput& in, u32 limit) {
    return (limit <= 256 ? in.get<u8>() : in.get<u16>()) % limit;
}
/// True about once in @p n times; never when the input has ended.
inline bool one_in(FuzzInput& in, u32 n) {
    return !in.empty() && in.get<u8>() % n == n / 2;
}
inline std::vector<u8> bytes_from(FuzzInput& in, usize n) {
    std::vector<u8> out(n);
    for (u8& byte : out)
        byte = in.get<u8>();
    return out;
}
} // namespace hv::test
