// SPDX-License-Identifier: Apache-2.0
// What compilers and standard library call in a freestanding program: arithmetic without an instruction
// (libgcc's own is built with a red zone), and, where a hosted program would throw or abort, a panic with a
// trace.
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/base/assert.hpp"

namespace std {
[[noreturn]] void __throw_out_of_range_fmt(char const*, ...);
void __throw_out_of_range_fmt(char const*, ...) {
    hv::panic("string_view: position out of range");
}
} // namespace std

namespace {
using Wide = unsigned __int128;

struct WideQuotient {
    Wide quotient, remainder;
};
WideQuotient divide(Wide n, Wide d) {
    auto const low = static_cast<hv::u64>(d);
    if (d >> 64 == 0) {
        hv::arch::Quotient const high = hv::arch::div(0, static_cast<hv::u64>(n >> 64), low);
        hv::arch::Quotient const rest = hv::arch::div(high.remainder, static_cast<hv::u64>(n), low);
        return {Wide{high.quotient} << 64 | rest.quotient, rest.remainder};
    }
    WideQuotient r{0, 0}; // a divisor past 64 bits: bit by bit, nobody is in a hurry
    for (int bit = 127; bit >= 0; --bit) {
        bool const carry = (r.remainder >> 127) != 0;
        r.remainder = r.remainder << 1 | (n >> bit & 1);
        if (carry || r.remainder >= d) {
            r.remainder -= d;
            r.quotient |= Wide{1} << bit;
        }
    }
    return r;
}
} // namespace

extern "C" {
Wide __udivti3(Wide n, Wide d);
Wide __udivti3(Wide n, Wide d) {
    return divide(n, d).quotient;
}
Wide __umodti3(Wide n, Wide d);
Wide __umodti3(Wide n, Wide d) {
    return divide(n, d).remainder;
}

[[noreturn]] void __cxa_pure_virtual();
void __cxa_pure_virtual() {
    hv::panic("pure virtual function called");
}
[[noreturn]] void abort();
void abort() {
    hv::panic("abort() called");
}
}
