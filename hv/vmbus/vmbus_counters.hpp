// SPDX-License-Identifier: Apache-2.0
// What happened on a partition's VMBus. Only ever added to; a partition reset keeps them.
#pragma once
#include "hv/base/types.hpp"

namespace hv::vmbus {
struct VmbusCounters {
    u64 messages = 0;            ///< control messages taken
    u64 messages_malformed = 0;  ///< too short, or of a type a guest does not send
    u64 messages_unexpected = 0; ///< wrong state, unknown channel or list
    u64 messages_deferred = 0;   ///< told to try again: too many answers wait
    u64 versions_refused = 0;
    u64 gpadls_refused = 0;
    u64 opens = 0, opens_refused = 0;
    u64 packets_received = 0, packets_sent = 0;
    u64 packets_ignored = 0; ///< kinds no device of ours takes
    u64 sends_full = 0;
    u64 signals_received = 0, signals_sent = 0;
    u64 signals_stray = 0;   ///< for a channel that is not open
    u64 channels_broken = 0; ///< closed because the guest lied about its ring or took its pages away
};
} // namespace hv::vmbus
