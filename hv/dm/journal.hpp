// SPDX-License-Identifier: Apache-2.0
// Every order of the balancer with its inputs and reason, the last ones of each partition: what `why NAME`
// prints.
#pragma once
#include "hv/base/format.hpp"
#include "hv/dm/balancer.hpp"

namespace hv::dm {
struct JournalEntry {
    u64 at_seconds = 0; ///< host uptime
    Order order;
    u64 repeats = 0; ///< ticks on which a Hold came again for the same reason
    u64 assigned = 0, demand = 0, wanted = 0, host_free = 0; ///< pages, when it was decided
};

class Journal {
  public:
    static constexpr u32 kEntries = 32;

    /// Remembers one tick's order; a Hold that repeats the last one's reason only counts up.
    void record(u64 at_seconds, Order const& order, PartitionView const& view, u64 wanted, u64 host_free);
    void clear() { count_ = 0; }
    u32 size() const { return count_ < kEntries ? static_cast<u32>(count_) : kEntries; }
    /// @param back 0 = the newest … size() − 1
    JournalEntry const& entry(u32 back) const;

  private:
    JournalEntry entries_[kEntries];
    u64 count_ = 0;
};

/// One line: "12 s: balloon 64 MiB, because …; assigned 512, demand 180, wanted 216, host free 1024 MiB".
void print(TextBuffer& out, JournalEntry const&);
} // namespace hv::dm
