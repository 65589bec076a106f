// SPDX-License-Identifier: Apache-2.0
// The C library's and the compiler's functions that libfdt, libstdc++'s headers and stack protectors call,
// for the freestanding world.
#ifdef HV_FREESTANDING
#include "hv/base/assert.hpp"
#include "hv/base/types.hpp"

extern "C" {
hv::usize strnlen(char const* text, hv::usize longest) {
    hv::usize n = 0;
    while (n < longest && text[n] != 0) {
        ++n;
    }
    return n;
}
char* strchr(char const* text, int wanted) {
    for (;; ++text) {
        if (*text == static_cast<char>(wanted)) {
            return const_cast<char*>(text);
        }
        if (*text == 0) {
            return nullptr;
        }
    }
}
char* strrchr(char const* text, int wanted) {
    char* found = nullptr;
    for (;; ++text) {
        if (*text == static_cast<char>(wanted)) {
            found = const_cast<char*>(text);
        }
        if (*text == 0) {
            return found;
        }
    }
}
/// std::popcount without the POPCNT instruction, which not every processor has.
int __popcountdi2(hv::u64 value) {
    int count = 0;
    for (; value != 0; value &= value - 1) {
        ++count;
    }
    return count;
}
[[noreturn]] void __stack_chk_fail() {
    hv::panic("a library function overran its stack");
}
}
#endif
