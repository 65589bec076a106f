// SPDX-License-Identifier: Apache-2.0
// One question in flight; the answer is its number plus one.
#include "hv/vmbus/heartbeat.hpp"
#include <cstring>

namespace hv::vmbus {
namespace {
constexpr ic::Version kVersions[] = {{3, 0}, {1, 0}};
}

Heartbeat::Heartbeat()
    : IntegrationService{guid("57164f39-9115-4e78-ab55-382f3bd5422d"),
                         guid("fd149e91-82e0-4a7d-afa6-2a4166cbd7c0"), ic::MessageType::Heartbeat,
                         kVersions} {}

void Heartbeat::stopped() {
    health_ = Health::Unknown;
    asked_ = false;
    beats_ = 0;
}

void Heartbeat::idle(u64 now_100ns) {
    if (asked_ && now_100ns - asked_at_ < kPeriod_100ns) return;
    struct [[gnu::packed]] {
        ic::Header header;
        ic::HeartbeatBody body;
    } message;
    message.body.sequence = sequence_;
    if (!request(std::span{reinterpret_cast<u8*>(&message), sizeof message})) return;
    asked_ = true;
    asked_at_ = now_100ns;
}

void Heartbeat::still_waiting(u64 now_100ns) {
    if (now_100ns - asked_at_ > kLostAfter_100ns) health_ = Health::Lost;
}

void Heartbeat::answered(u32 /*status*/, std::span<u8 const> body) {
    ic::HeartbeatBody answer;
    if (body.size() < sizeof answer) return;
    std::memcpy(&answer, body.data(), sizeof answer);
    if (answer.sequence != sequence_ + 1) return; // no sign of a driver that works; asked again in time
    sequence_ = answer.sequence;
    health_ = Health::Alive;
    ++beats_;
}
} // namespace hv::vmbus
