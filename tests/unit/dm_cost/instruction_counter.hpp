// SPDX-License-Identifier: Apache-2.0
// Counts instructions exactly: the trap flag makes each one raise SIGTRAP. Deterministic, unlike time, and
// needs no tool and no privilege.
#pragma once
#include <csignal>
#include <cstring>

namespace hv::test {
inline unsigned long volatile g_trapped_instructions;

/// Instructions that @p function executes in this thread, give or take the few around the call.
template <class F>
unsigned long count_instructions(F&& function) {
    struct sigaction action, before;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = [](int) { g_trapped_instructions = g_trapped_instructions + 1; };
    sigaction(SIGTRAP, &action, &before);
    g_trapped_instructions = 0;
    constexpr unsigned long kTrapFlag = 1u << 8;
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | kTrapFlag);
    function();
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~kTrapFlag);
    unsigned long const counted = g_trapped_instructions;
    sigaction(SIGTRAP, &before, nullptr);
    return counted;
}
} // namespace hv::test
