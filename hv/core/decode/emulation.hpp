// SPDX-License-Identifier: Apache-2.0
// How an emulated instruction ended when it did not fail.
#pragma once
#include "hv/core/guest_fault.hpp"

namespace hv::decode {
struct Emulated {
    /// Bytes to advance RIP by (VirtVcpu::advance); 0: RIP stays, because a repeated instruction goes on or
    /// the code changed under us. Enter the guest again either way.
    u8 advance_bytes = 0;
    u32 accesses = 0; ///< elements or operands moved, for counters
};
} // namespace hv::decode
