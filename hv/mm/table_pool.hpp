// SPDX-License-Identifier: Apache-2.0
// A partition's own supply of frames for its nested tables, filled before they are needed, so that a nested
// fault takes no lock and cannot fail.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/mm/frame_allocator.hpp"
#include "hv/mm/frame_stash.hpp"
#include "hv/mm/page_fill.hpp"

namespace hv::mm {
/// Frames lie here zeroed (the link aside, which leaves with them).
class TablePool final : public HostFrames {
  public:
    TablePool(FrameAllocator& frames, Owner owner, u32 node)
        : frames_{frames}, owner_{owner}, node_{node}, free_{frames.map()} {}
    TablePool(TablePool const&) = delete;
    TablePool& operator=(TablePool const&) = delete;

    /// From the pool; if it is empty from the machine's allocator, which is counted: set-up does that, a
    /// nested fault must not.
    void* allocate() override {
        if (free_.count() == 0) {
            ++shared_allocations_;
            if (!fill(1)) {
                return nullptr;
            }
        }
        u64* const page = frames_.map().pointer<u64>(free_.pop());
        *page = 0;
        return page;
    }
    void free(void* frame) override {
        zero_words(frame, kPageBytes);
        free_.push(physical(frame));
    }
    Hpa physical(void const* pointer) const override { return frames_.map().physical(pointer); }
    void* pointer(Hpa at) const override { return frames_.map().pointer(at); }

    /// Makes sure that at least @p count frames are here.
    bool fill(u64 count) {
        while (free_.count() < count) {
            auto const frame = frames_.allocate(0, node_, owner_, FrameKind::NestedTable);
            if (!frame.ok()) {
                return false;
            }
            free(frames_.map().pointer(frame.value()));
        }
        return true;
    }
    /// A guest frame of the same owner becomes a table frame.
    void adopt(Hpa frame) {
        frames_.set_owner(frame, 0, owner_, owner_, FrameKind::NestedTable);
        free(frames_.map().pointer(frame));
    }
    /// Gives what is over @p count back to the machine.
    void trim(u64 count) {
        while (free_.count() > count) {
            frames_.free(free_.pop(), 0, owner_);
        }
    }
    u64 available() const { return free_.count(); }
    u64 shared_allocations() const { return shared_allocations_; }
    FrameStash const& frames() const { return free_; }

  private:
    FrameAllocator& frames_;
    Owner owner_;
    u32 node_;
    FrameStash free_;
    u64 shared_allocations_ = 0;
};
} // namespace hv::mm
