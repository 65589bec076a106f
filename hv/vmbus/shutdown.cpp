// SPDX-License-Identifier: Apache-2.0
// One request at a time; drivers act on the first and drop a second.
#include "hv/vmbus/shutdown.hpp"

namespace hv::vmbus {
namespace {
constexpr ic::Version kVersions[] = {{3, 2}, {3, 1}, {3, 0}, {1, 0}};
constexpr u32 kGuestTimeoutSeconds = 60; // for its applications; Linux ignores it
} // namespace

ShutdownService::ShutdownService()
    : IntegrationService{guid("0e0b6031-5213-4934-818b-38d90ced39db"),
                         guid("b6650ff7-33bc-4840-8048-e0676786f393"), ic::MessageType::Shutdown, kVersions} {
}

ShutdownService::Request ShutdownService::ask(Kind kind) {
    if (state() != State::Ready) return Request::NotReady;
    if (waiting() || due_) return Request::Busy;
    message_.body.reason = ic::kShutdownPlanned;
    message_.body.timeout_s = kGuestTimeoutSeconds;
    message_.body.flags = kind == Kind::PowerOff ? ic::kShutdownPowerOff : ic::kShutdownReboot;
    outcome_ = Outcome::Waiting;
    waiting_since_ = 0;
    due_ = !send();
    return Request::Sent;
}

bool ShutdownService::send() {
    return request(std::span{reinterpret_cast<u8*>(&message_), sizeof message_});
}

void ShutdownService::idle(u64 /*now_100ns*/) {
    if (due_) due_ = !send();
}

void ShutdownService::still_waiting(u64 now_100ns) {
    if (waiting_since_ == 0) waiting_since_ = now_100ns;
    if (outcome_ == Outcome::Waiting && now_100ns - waiting_since_ > kPatience_100ns) {
        outcome_ = Outcome::Unanswered;
    }
}

void ShutdownService::answered(u32 status, std::span<u8 const> /*body*/) {
    outcome_ = status == 0 ? Outcome::Accepted : Outcome::Refused;
}

void ShutdownService::stopped() {
    // A guest that accepted closes its channels on the way down; what it said stays readable until it is
    // back.
    if (outcome_ != Outcome::Accepted) outcome_ = Outcome::None;
    due_ = false;
}
} // namespace hv::vmbus
