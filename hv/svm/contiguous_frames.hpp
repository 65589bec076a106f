// SPDX-License-Identifier: Apache-2.0
// A few adjacent frames from a source that hands them out one at a time: what the permission maps need, once,
// at boot.
#pragma once
#include "hv/core/virt_backend.hpp"
#include <algorithm>
#include <array>

namespace hv::svm {
/// Takes frames until @p Count of them are adjacent in physical memory and in the direct map, keeps those and
/// gives the others back. Set-up only.
/// @return the lowest of them, zeroed, or null when the first kTries frames hold no such run.
template <unsigned Count>
void* allocate_contiguous(HostFrames& frames) {
    constexpr unsigned kTries = 128;
    std::array<void*, kTries> taken{};
    unsigned used = 0;
    void* found = nullptr;
    auto const adjacent = [&frames](void* low, void* high) {
        return static_cast<u8*>(high) - static_cast<u8*>(low) == static_cast<s64>(kPageBytes) &&
               frames.physical(high) - frames.physical(low) == kPageBytes;
    };
    while (used < kTries && found == nullptr) {
        void* const frame = frames.allocate();
        if (frame == nullptr) {
            break;
        }
        void** const end = taken.data() + used++;
        void** const place =
            std::upper_bound(taken.data(), end, frame); // sorted: any order of hand-out will do
        std::move_backward(place, end, end + 1);
        *place = frame;
        unsigned run = 1;
        for (unsigned i = 1; i < used; ++i) {
            run = adjacent(taken[i - 1], taken[i]) ? run + 1 : 1;
            if (run == Count) {
                found = taken[i + 1 - Count];
                break;
            }
        }
    }
    for (unsigned i = 0; i < used; ++i) {
        u8* const frame = static_cast<u8*>(taken[i]);
        u8* const first = static_cast<u8*>(found);
        if (found == nullptr || frame < first || frame >= first + Count * kPageBytes) {
            frames.free(frame);
        }
    }
    return found;
}
} // namespace hv::svm
