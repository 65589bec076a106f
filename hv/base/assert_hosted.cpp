// SPDX-License-Identifier: Apache-2.0
// The hosted half of assert.hpp; the machine's half prints a trace (hv/init/cpu/panic.cpp).
#ifndef HV_FREESTANDING
#include "hv/base/assert.hpp"
#include <cstdio>
#include <cstdlib>

namespace hv {
void panic(char const* message) {
    std::fprintf(stderr, "panic: %s\n", message);
    std::abort();
}
} // namespace hv
#endif
