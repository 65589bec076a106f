// SPDX-License-Identifier: Apache-2.0
// The hosted half of assert.hpp; the machine's half prints a trace (hv/init/panic.cpp).
#ifndef HV_FREESTANDING
#include "hv/base/assert.hpp"
#include <cstdio>
#include <cstdlib>

namespace hv {
void assertion_failed(char const* expression, char const* file, unsigned line) {
    std::fprintf(stderr, "%s:%u: assertion failed: %s\n", file, line, expression);
    std::abort();
}
void panic(char const* message) {
    std::fprintf(stderr, "panic: %s\n", message);
    std::abort();
}
} // namespace hv
#endif
