// SPDX-License-Identifier: Apache-2.0
// A partition's guest-physical address space as stretches of one kind.
#pragma once
#include "hv/gdb/target.hpp"
#include "hv/partition/guest.hpp"

namespace hv::init {
/// Fills @p into, ascending. @return how many stretches there are (more than fit are left out)
u32 guest_map(partition::Guest& guest, std::span<gdb::MemoryRegion> into);
} // namespace hv::init
