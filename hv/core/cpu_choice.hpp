// SPDX-License-Identifier: Apache-2.0
// Which physical CPU a virtual processor is placed on.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
/// What a physical CPU offers to one more virtual processor.
struct CpuOffer {
    u32 load;       ///< virtual processors that are placed on it
    u64 room_pages; ///< memory that its NUMA node has left for them
};

/// Whether @p a is the better place: a free CPU is worth more than near memory, which its guest then takes
/// from another node.
constexpr bool is_better(CpuOffer const& a, CpuOffer const& b) {
    return a.load != b.load ? a.load < b.load : a.room_pages > b.room_pages;
}
} // namespace hv
