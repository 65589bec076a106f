// SPDX-License-Identifier: Apache-2.0
// The functions of a C library that compilers call by themselves and that there is no library for. When one
// needs another, the link says so.
#include <cstddef>

extern "C" {
void* memset(void* to, int value, std::size_t bytes) {
    void* const result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

int memcmp(void const* left, void const* right, std::size_t bytes) {
    auto const* const a = static_cast<unsigned char const*>(left);
    auto const* const b = static_cast<unsigned char const*>(right);
    for (std::size_t i = 0; i < bytes; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}
}
