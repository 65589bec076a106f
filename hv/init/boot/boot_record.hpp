// SPDX-License-Identifier: Apache-2.0
// What the hypervisor makes of the loader's hand-over record: is it sound, and which RAM is there. Pure.
#pragma once
#include "boot/handoff/boot_info.hpp"
#include "hv/mm/frame_table.hpp"
#include <array>
#include <optional>
#include <string_view>

namespace hv::init {
using ballast::handoff::BootInfo;

/// Checks a record before anything in it is used: identity, version, size, counts, and that the memory map is
/// sorted, disjoint and page aligned.
/// @return what is wrong, for a person, or nothing.
std::optional<std::string_view> find_fault(BootInfo const& info);

/// The RAM of the machine for FrameAllocator::build, at most kMaxRamRanges pieces.
class RamList {
  public:
    static constexpr usize kMaxRamRanges = 1024;

    /// Usable memory is Free, Loader memory Data, images Image. Cut at the borders of NUMA nodes; what no
    /// node claims belongs to node 0, a page with a border inside to the node of its first byte. Frame 0 (a
    /// null physical address means "none") and the AP trampoline are kept back as Data.
    void fill(BootInfo const& info);

    std::span<mm::RamRange const> ranges() const { return std::span{ranges_}.first(count_); }
    u64 bytes() const;                                   ///< all of it
    u64 dropped_bytes() const { return dropped_bytes_; } ///< what did not fit into the list

  private:
    void add(u64 base, u64 bytes, u32 node, mm::FrameKind kind);

    std::array<mm::RamRange, kMaxRamRanges> ranges_{};
    usize count_ = 0;
    u64 dropped_bytes_ = 0;
};

/// Node of the RAM at @p at: 0 where no node range holds it.
u32 node_of(BootInfo const& info, u64 at);
} // namespace hv::init
