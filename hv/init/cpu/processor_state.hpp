// SPDX-License-Identifier: Apache-2.0
// The state every CPU of ours runs in: control registers, EFER, PAT, XCR0.
#pragma once
#include "hv/core/fpu_state.hpp"
#include <optional>
#include <string_view>

namespace hv::init {
/// CR0 of a running CPU: protection, paging, write protection also for us, native x87 errors; caching on.
inline constexpr u32 kHostCr0 = 0x8001'0033;

/// Puts the CPU this runs on into that state. Same on all; called first thing on each.
void prepare_processor(FpuLayout const& fpu);

/// What the hypervisor needs of any processor besides virtualization: the name of the first thing missing, as
/// the manual has it.
std::optional<std::string_view> missing_feature();
bool has_huge_pages(); ///< 1 GiB

/// "GenuineIntel", "AuthenticAMD", …: 12 characters.
struct VendorName {
    char text[13];
};
VendorName vendor_name();
} // namespace hv::init
