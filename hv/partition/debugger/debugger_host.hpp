// SPDX-License-Identifier: Apache-2.0
// What a partition under the debugger needs of the debugger's session.
#pragma once
#include "hv/base/types.hpp"

namespace hv::partition {
class VirtualProcessor;

/// Called on the partition's CPU.
class DebuggerHost {
  public:
    virtual ~DebuggerHost() = default;
    /// Partition number @p id stands still, or has ended: look at it soon.
    virtual void partition_stopped(u16 id) = 0;
    /// A register by the number that conditions of breakpoints use. @return false where there is none, or it
    /// is wider than 64 bits
    virtual bool read_register(VirtualProcessor&, u16 number, u64& value) = 0;
};
} // namespace hv::partition
