// SPDX-License-Identifier: Apache-2.0
// Reads a fuzzer's bytes as values; zeros follow the last.
#pragma once
#include "hv/base/types.hpp"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace hv::test {
class FuzzInput {
  public:
    FuzzInput(u8 const* data, usize size) : rest_{data, size} {}
    template <class T>
    T get() {
        T value{};
        usize const n = rest_.size() < sizeof value ? rest_.size() : sizeof value;
        if (n != 0) {
            std::memcpy(&value, rest_.data(), n);
        }
        rest_ = rest_.subspan(n);
        return value;
    }
    /// 0 … @p bound - 1
    u64 below(u64 bound) { return get<u32>() % bound; }
    bool flag() { return (get<u8>() & 1) != 0; }
    bool empty() const { return rest_.empty(); }

  private:
    std::span<u8 const> rest_;
};
} // namespace hv::test

#define REQUIRE_THAT(condition)                                                                              \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                             \
            std::abort();                                                                                    \
        }                                                                                                    \
    } while (false)
