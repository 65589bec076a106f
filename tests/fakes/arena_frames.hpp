// SPDX-License-Identifier: Apache-2.0
// Host frames for tests: a limited number of them, out of an arena with a linear map. Freed frames are filled
// with rubbish, and a frame that is freed twice or leaks is seen.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "tests/fakes/arena_ram.hpp"
#include <cstring>
#include <set>
#include <vector>

namespace hv::test {
class ArenaFrames final : public HostFrames {
  public:
    explicit ArenaFrames(usize frames) : ram_{Hpa{0x7'0000'0000}, frames * kPageBytes}, limit{frames} {
        for (usize i = frames; i-- > 0;) {
            free_.push_back(ram_.map().pointer<u8>(ram_.first() + i * kPageBytes));
        }
    }
    void* allocate() override {
        if (live_.size() >= limit || free_.empty()) {
            return nullptr;
        }
        u8* const frame = free_.back();
        free_.pop_back();
        live_.insert(frame);
        std::memset(frame, 0, kPageBytes);
        return frame;
    }
    void free(void* frame) override {
        if (live_.erase(static_cast<u8*>(frame)) != 1) {
            std::abort();
        }
        std::memset(frame, 0xee, kPageBytes);
        free_.push_back(static_cast<u8*>(frame));
    }
    Hpa physical(void const* pointer) const override { return ram_.map().physical(pointer); }
    void* pointer(Hpa at) const override { return ram_.map().pointer(at); }

    usize live() const { return live_.size(); }

  private:
    ArenaRam ram_;
    std::vector<u8*> free_;
    std::set<u8*> live_;

  public:
    usize limit; ///< how many may be live at once; a test lowers it to run out
};
} // namespace hv::test
