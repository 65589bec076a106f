// SPDX-License-Identifier: Apache-2.0
// Our own mistakes. Kept in release builds: the machine prints a trace and stops; a unit test aborts.
#pragma once

namespace hv {
/// Prints the message with a symbolised trace and stops the machine (hv/init/cpu/panic.cpp), or aborts a
/// hosted program. Any context; never returns, takes no locks.
[[noreturn, gnu::cold]] void panic(char const* message);
} // namespace hv

#define HV_TEXT(token) HV_TEXT_OF(token)
#define HV_TEXT_OF(token) #token

/// Checks a condition that only a bug of ours can break. Never use it on a value a guest can choose. Place
/// and condition are one text: every check pays for the code that hands it over.
#define HV_ASSERT(condition)                                                                                 \
    (__builtin_expect(!(condition), 0)                                                                       \
         ? ::hv::panic(__FILE__ ":" HV_TEXT(__LINE__) ": assertion failed: " #condition)                     \
         : (void)0)
