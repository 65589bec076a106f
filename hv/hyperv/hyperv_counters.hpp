// SPDX-License-Identifier: Apache-2.0
// What happened on a partition's Hyper-V interface. Only ever added to; a partition reset keeps them.
#pragma once
#include "hv/hyperv/hyperv_abi.hpp"

namespace hv::hyperv {
struct HypervCounters {
    /// Hypercalls by their status; statuses from kHypercallStatusLimit on do not occur.
    std::array<u64, kHypercallStatusLimit> hypercalls_by_status{};
    u64 hypercalls_while_disabled = 0; ///< got #UD
    u64 msr_faults = 0;                ///< synthetic MSR accesses answered with #GP
    u64 messages_delivered = 0;        ///< written into a slot, timer messages included
    u64 messages_deferred = 0;         ///< found their slot busy or the SynIC off
    u64 messages_refused = 0;          ///< the partition's message pool was full
    u64 events_signalled = 0;          ///< flags newly set
    u64 events_merged = 0;             ///< flags that were still set
    u64 events_lost = 0;               ///< the SynIC was off
    u64 page_errors = 0;               ///< a page the guest named for us is not its memory
    u64 timer_expirations = 0;
    u64 timer_periods_skipped = 0; ///< periodic expirations that came too late to be told
    u64 crash_reports = 0;

    constexpr void count(HypercallStatus status) { ++hypercalls_by_status[static_cast<usize>(status)]; }
};
} // namespace hv::hyperv
