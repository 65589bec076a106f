// SPDX-License-Identifier: Apache-2.0
// Guest-linear memory as a debugger sees it: by the page tables as they are, no permission asked, nothing
// left behind in them.
#pragma once
#include "hv/core/guest_walk.hpp"

namespace hv::partition {
/// The guest-physical address behind @p linear. Linux with page-table isolation runs user code on tables that
/// lack the kernel; where those have nothing, the kernel's are asked, which lie one page below (bit 12 of CR3
/// clear).
bool translate_linear(CpuView&, GuestAccess&, u64 linear, Gpa& at);
/// @return how many bytes from the start could be read
usize read_linear_memory(CpuView&, GuestAccess&, u64 linear, std::span<u8> to);
/// All or nothing: every page is looked up before the first byte is written.
bool write_linear_memory(CpuView&, GuestAccess&, u64 linear, std::span<u8 const> from);
} // namespace hv::partition
