// SPDX-License-Identifier: Apache-2.0
// Who called whom, by frame pointers: the tree is built with -fno-omit-frame-pointer for this.
#pragma once
#include "hv/base/types.hpp"
#include <concepts>
#include <optional>

namespace hv::init {
/// Reads 8 bytes of stack, or nothing where reading would fault.
template <class R>
concept StackReader = requires(R& reader, u64 address) {
    { reader.read(address) } -> std::same_as<std::optional<u64>>;
};

inline constexpr unsigned kMaxTraceFrames = 1024;

/// Calls @p visit(return_address) for each frame from @p frame_pointer outwards, at most kMaxTraceFrames.
/// Stops at a frame pointer that is 0, misaligned, unreadable, or not above the one before it: a smashed
/// stack ends the trace and not the machine.
template <StackReader Reader, class Visit>
void walk_frames(Reader& reader, u64 frame_pointer, Visit visit) {
    u64 last = 0;
    for (unsigned i = 0; i < kMaxTraceFrames; ++i) {
        if (frame_pointer <= last || (frame_pointer & 7) != 0) {
            return;
        }
        std::optional<u64> const caller_frame = reader.read(frame_pointer);
        std::optional<u64> const return_address = reader.read(frame_pointer + 8);
        if (!caller_frame || !return_address || *return_address == 0) {
            return;
        }
        visit(*return_address);
        last = frame_pointer;
        frame_pointer = *caller_frame;
    }
}
} // namespace hv::init
