// SPDX-License-Identifier: Apache-2.0
// What compiler and standard library call where a hosted program would throw or abort: our bugs, so a panic with a trace.
#include "hv/base/assert.hpp"

namespace std {
[[noreturn]] void __throw_out_of_range_fmt(char const*, ...);
void __throw_out_of_range_fmt(char const*, ...) {
    hv::panic("string_view: position out of range");
}
} // namespace std

extern "C" {
[[noreturn]] void __cxa_pure_virtual();
void __cxa_pure_virtual() {
    hv::panic("pure virtual function called");
}
[[noreturn]] void abort();
void abort() {
    hv::panic("abort() called");
}
}
