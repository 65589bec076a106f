// SPDX-License-Identifier: Apache-2.0
// The C library's and the compiler's functions that libfdt, libstdc++'s headers and our code call, for the
// freestanding world.
#ifdef HV_FREESTANDING
#include "hv/base/assert.hpp"
#include "hv/base/wide.hpp"

extern "C" {
/// Clang calls this where it compiles for size.
hv::u128 __lshrti3(hv::u128 value, int count) {
    auto const low = static_cast<hv::u64>(value), high = static_cast<hv::u64>(value >> 64);
    if (count >= 64) {
        return high >> (count - 64);
    }
    return count == 0 ? value
                      : static_cast<hv::u128>(high >> count) << 64 | (low >> count | high << (64 - count));
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
