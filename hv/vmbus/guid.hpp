// SPDX-License-Identifier: Apache-2.0
// GUIDs as they travel on the wire: the first three fields little-endian, the last eight bytes in text order.
#pragma once
#include "hv/base/types.hpp"
#include <array>

namespace hv::vmbus {
struct Guid {
    std::array<u8, 16> wire{};
    constexpr bool operator==(Guid const&) const = default;
};
static_assert(sizeof(Guid) == 16);

namespace detail {
void not_a_guid();
consteval u8 hex_digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<u8>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<u8>(c - 'a' + 10);
    not_a_guid();
    return 0;
}
} // namespace detail

/// The GUID written as "525074dc-8985-46e2-8057-a307dc18a502". Compile time only: a typing error does not
/// compile.
consteval Guid guid(char const (&text)[37]) {
    // Text position of each wire byte's two digits.
    constexpr u8 kAt[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
    if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') {
        detail::not_a_guid();
    }
    Guid result;
    for (usize i = 0; i < 16; ++i) {
        result.wire[i] =
            static_cast<u8>(detail::hex_digit(text[kAt[i]]) << 4 | detail::hex_digit(text[kAt[i] + 1]));
    }
    return result;
}
static_assert(guid("525074dc-8985-46e2-8057-a307dc18a502").wire ==
              std::array<u8, 16>{0xdc, 0x74, 0x50, 0x52, 0x85, 0x89, 0xe2, 0x46, 0x80, 0x57, 0xa3, 0x07, 0xdc,
                                 0x18, 0xa5, 0x02});
} // namespace hv::vmbus
