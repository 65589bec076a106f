// SPDX-License-Identifier: Apache-2.0
// The bytes of the instruction at RIP, read through the guest's own page tables.
#pragma once
#include "hv/core/guest_fault.hpp"
#include <optional>

namespace hv::decode {
inline constexpr u32 kMaxInstructionBytes = 15; // SDM vol 2, "Instruction format"

struct Code {
    CodeMode mode;
    u64 linear = 0;
    u8 bytes[kMaxInstructionBytes] = {};
    u8 count = 0;                    ///< valid bytes, at least 1
    std::optional<WalkFault> beyond; ///< why there are fewer than 15

    std::span<u8 const> span() const { return {bytes, count}; }
};

/// CS.base + RIP as the mode truncates it.
u64 linear_rip(CpuView&, CodeMode);

/// Copies up to 15 bytes at RIP. The processor has just fetched the same bytes, so a failure means that
/// another processor of the guest changed code or tables meanwhile. Accessed bits are left alone.
Result<Code, EmulationFailure> fetch_code(CpuView&, GuestAccess&);
} // namespace hv::decode
