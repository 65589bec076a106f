// SPDX-License-Identifier: Apache-2.0
// Single zeroed frames for backends and tables, tagged with who has them and what for.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/mm/frame_allocator.hpp"
#include "hv/mm/page_fill.hpp"

namespace hv::mm {
/// HostFrames over the frame allocator. Holds no state but its tags: any number may exist.
class OwnedFrames final : public HostFrames {
  public:
    /// @param near  the node to take frames from while it has any; a node may be one of processors alone
    OwnedFrames(FrameAllocator& frames, Owner owner, FrameKind kind, u32 near = kAnyNode)
        : frames_{frames}, owner_{owner}, kind_{kind}, near_{near} {}

    void* allocate() override {
        auto at = frames_.allocate(0, near_, owner_, kind_);
        if (!at.ok() && near_ != kAnyNode) {
            at = frames_.allocate(0, kAnyNode, owner_, kind_);
        }
        if (!at.ok()) {
            return nullptr;
        }
        void* const page = frames_.map().pointer(at.value());
        zero_words(page, kPageBytes);
        return page;
    }
    void free(void* frame) override { frames_.free(physical(frame), 0, owner_); }
    Hpa physical(void const* pointer) const override { return frames_.map().physical(pointer); }
    void* pointer(Hpa at) const override { return frames_.map().pointer(at); }

  private:
    FrameAllocator& frames_;
    Owner owner_;
    FrameKind kind_;
    u32 near_;
};
} // namespace hv::mm
