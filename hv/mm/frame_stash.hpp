// SPDX-License-Identifier: Apache-2.0
// A private list of frames (or of 2 MiB runs) that their owner has not put to use yet. No lock, no
// allocation.
#pragma once
#include "hv/base/assert.hpp"
#include "hv/mm/direct_map.hpp"

namespace hv::mm {
/// Last in, first out. The link is the frame's first word, so frames must be out of the guest's reach:
/// unmapped, and flushed from its processor before it runs again. What a guest left in them stays until they
/// are zeroed.
class FrameStash {
  public:
    explicit FrameStash(DirectMap map) : map_{map} {}
    void push(Hpa frame) {
        *map_.pointer<u64>(frame) = head_;
        head_ = frame.raw;
        ++count_;
    }
    Hpa pop() {
        HV_ASSERT(count_ != 0);
        Hpa const frame{head_};
        head_ = *map_.pointer<u64>(frame);
        --count_;
        return frame;
    }
    u64 count() const { return count_; }
    template <class F>
    void for_each(F&& f) const {
        u64 at = head_;
        for (u64 i = 0; i < count_; ++i, at = *map_.pointer<u64>(Hpa{at})) {
            f(Hpa{at});
        }
    }

  private:
    DirectMap map_;
    u64 head_ = 0;
    u64 count_ = 0;
};
} // namespace hv::mm
