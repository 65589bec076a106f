// SPDX-License-Identifier: Apache-2.0
// Two message layouts, by negotiated version.
#include "hv/vmbus/time_sync.hpp"

namespace hv::vmbus {
namespace {
constexpr ic::Version kVersions[] = {{4, 0}, {3, 0}, {1, 0}};
}

TimeSync::TimeSync(PartitionClock const& clock)
    : IntegrationService{guid("9527e630-d0ae-497b-adce-e80ab0175caf"),
                         guid("2dd1ce17-079e-403c-b352-a1921ee207ee"), ic::MessageType::TimeSync, kVersions},
      clock_{clock} {}

template <class Body>
bool TimeSync::send(Body const& body) {
    struct [[gnu::packed]] {
        ic::Header header;
        Body body;
    } message{{}, body};
    return request(std::span{reinterpret_cast<u8*>(&message), sizeof message});
}

void TimeSync::idle(u64 now_100ns) {
    if (!set_due_ && now_100ns - sent_at_ < kSamplePeriod_100ns) return;
    u8 const flags = set_due_ ? ic::kTimeSyncSet : ic::kTimeSyncSample;
    u64 const wall = clock_.wall_clock();
    bool const sent = negotiated().major >= 4
                          ? send(ic::TimeSyncBody4{.parent_time = wall,
                                                   .reference_time = clock_.reference_time(),
                                                   .flags = flags,
                                                   .leap = 0,
                                                   .stratum = 0})
                          : send(ic::TimeSyncBody{
                                .parent_time = wall, .child_time = 0, .round_trip_time = 0, .flags = flags});
    if (!sent) return;
    set_due_ = false;
    sent_at_ = now_100ns;
}
} // namespace hv::vmbus
