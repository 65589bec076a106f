// SPDX-License-Identifier: Apache-2.0
// Kinds of access to guest-physical memory.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
enum class Access : u8 { None = 0, R = 1, W = 2, X = 4, RW = 3, RX = 5, RWX = 7 };
constexpr Access operator|(Access a, Access b) {
    return static_cast<Access>(static_cast<u8>(a) | static_cast<u8>(b));
}
constexpr Access operator&(Access a, Access b) {
    return static_cast<Access>(static_cast<u8>(a) & static_cast<u8>(b));
}
constexpr bool has(Access set, Access bit) {
    return (static_cast<u8>(set) & static_cast<u8>(bit)) != 0;
}
} // namespace hv
