// SPDX-License-Identifier: Apache-2.0
// Our own mistakes. Kept in release builds: the machine prints a trace and stops; a unit test aborts.
#pragma once

namespace hv {
/// Prints the message with a symbolised trace and stops the machine (hv/init/panic.cpp), or aborts a hosted
/// program. Any context; never returns, takes no locks.
[[noreturn]] void assertion_failed(char const* expression, char const* file, unsigned line);

/// The same for states that cannot be written as an expression.
[[noreturn]] void panic(char const* message);
} // namespace hv

/// Checks a condition that only a bug of ours can break. Never use it on a value a guest can choose.
#define HV_ASSERT(condition)                                                                                 \
    (__builtin_expect(!(condition), 0) ? ::hv::assertion_failed(#condition, __FILE__, __LINE__) : (void)0)
