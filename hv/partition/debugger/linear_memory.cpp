// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/debugger/linear_memory.hpp"
#include <algorithm>

namespace hv::partition {
namespace {
constexpr WalkIntent kLook{.access = Access::R,
                           .implicit_supervisor = true,
                           .set_accessed_dirty = false,
                           .check_permissions = false};
constexpr u64 kUserTables = 1u << 12; // Linux, "Page Table Isolation (PTI)"

/// Calls f(at, offset, bytes) for each piece of the range within one page. @return bytes before the first
/// that could not be translated, or for which f said no
template <class F>
usize for_each_page(CpuView& cpu, GuestAccess& memory, u64 linear, usize bytes, F&& f) {
    usize done = 0;
    while (done < bytes) {
        u64 const from = linear + done;
        usize const piece = std::min<u64>(bytes - done, kPageBytes - (from & (kPageBytes - 1)));
        Gpa at;
        if (!translate_linear(cpu, memory, from, at) || !f(at, done, piece)) {
            break;
        }
        done += piece;
    }
    return done;
}
} // namespace

bool translate_linear(CpuView& cpu, GuestAccess& memory, u64 linear, Gpa& at) {
    PagingState state = paging_state(cpu);
    for (;;) {
        if (auto const found = walk(memory, state, linear, kLook)) {
            at = found.value().gpa;
            return true;
        }
        if (!state.paging() || !state.long_mode() || (state.cr3 & kUserTables) == 0) {
            return false;
        }
        state.cr3 &= ~kUserTables;
    }
}

usize read_linear_memory(CpuView& cpu, GuestAccess& memory, u64 linear, std::span<u8> to) {
    return for_each_page(cpu, memory, linear, to.size(), [&](Gpa at, usize offset, usize bytes) {
        return memory.read(at, to.subspan(offset, bytes)).ok();
    });
}

bool write_linear_memory(CpuView& cpu, GuestAccess& memory, u64 linear, std::span<u8 const> from) {
    usize const reachable = for_each_page(cpu, memory, linear, from.size(),
                                          [&](Gpa at, usize, usize) { return memory.page(at).ok(); });
    if (reachable != from.size()) {
        return false;
    }
    for_each_page(cpu, memory, linear, from.size(), [&](Gpa at, usize offset, usize bytes) {
        return memory.write(at, from.subspan(offset, bytes)).ok();
    });
    return true;
}
} // namespace hv::partition
