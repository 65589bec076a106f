// SPDX-License-Identifier: Apache-2.0
// Framing, negotiation, and pairing of answers.
#include "hv/vmbus/integration_service.hpp"
#include "hv/base/assert.hpp"
#include <algorithm>
#include <cstring>

namespace hv::vmbus {
namespace {
constexpr ic::Version kFrameworks[] = {{3, 0}, {1, 0}};
constexpr u32 kMessagePipe = 4; // user data of a pipe offer: packets keep their bounds

template <class T>
void put(std::span<u8> at, T const& object) {
    std::memcpy(at.data(), &object, sizeof object);
}
} // namespace

IntegrationService::IntegrationService(Guid const& type, Guid const& instance, ic::MessageType message,
                                       std::span<ic::Version const> versions)
    : type_{message}, versions_{versions} {
    HV_ASSERT(versions.size() <= kMaxVersions);
    offer_.type = type;
    offer_.instance = instance;
    offer_.flags = kOfferNamedPipe;
    put(offer_.user_data, kMessagePipe);
}

void IntegrationService::opened(ChannelSink& sink) {
    sink_ = &sink;
    state_ = State::Negotiating;
    framework_version_ = message_version_ = {};
    waiting_ = false;
    negotiate();
}

void IntegrationService::closed() {
    sink_ = nullptr;
    state_ = State::Closed;
    waiting_ = false;
    stopped();
}

void IntegrationService::negotiate() {
    std::array<u8, sizeof(ic::Header) + sizeof(ic::NegotiateBody) +
                       (std::size(kFrameworks) + kMaxVersions) * sizeof(ic::Version)>
        message{};
    auto body = std::span{message}.subspan(sizeof(ic::Header));
    put(body,
        ic::NegotiateBody{static_cast<u16>(std::size(kFrameworks)), static_cast<u16>(versions_.size()), 0});
    body = body.subspan(sizeof(ic::NegotiateBody));
    put(body, kFrameworks);
    body = body.subspan(sizeof kFrameworks);
    std::memcpy(body.data(), versions_.data(), versions_.size_bytes());
    usize const unused = body.size() - versions_.size_bytes();
    (void)send(std::span{message}.first(message.size() - unused), ic::MessageType::Negotiate);
}

bool IntegrationService::request(std::span<u8> message) {
    HV_ASSERT(state_ == State::Ready && !waiting_);
    bool const sent = send(message, type_);
    if (sent) ++counters_.requests;
    return sent;
}

bool IntegrationService::send(std::span<u8> message, ic::MessageType type) {
    ic::Header header;
    header.pipe_bytes = static_cast<u32>(message.size() - 2 * sizeof(u32));
    header.framework = framework_version_;
    header.type = type;
    header.message = message_version_;
    header.body_bytes = static_cast<u16>(message.size() - sizeof header);
    header.transaction_id = ++transaction_id_;
    header.flags = ic::flag::kTransaction | ic::flag::kRequest;
    put(message, header);
    waiting_ = sink_->send_inband(message, transaction_id_) == SendStatus::Ok;
    return waiting_;
}

void IntegrationService::received(Packet const& packet) {
    ic::Header header;
    if (packet.kind != Packet::Kind::InBand || packet.payload.size() < sizeof header) {
        ++counters_.malformed;
        return;
    }
    std::memcpy(&header, packet.payload.data(), sizeof header);
    if ((header.flags & ic::flag::kResponse) == 0) {
        ++counters_.malformed;
        return;
    }
    auto const expected = state_ == State::Negotiating ? ic::MessageType::Negotiate : type_;
    if (!waiting_ || header.type != expected || header.transaction_id != transaction_id_) {
        ++counters_.unexpected;
        return;
    }
    waiting_ = false;
    ++counters_.answers;
    auto const body = packet.payload.subspan(sizeof header);
    if (state_ == State::Negotiating) {
        negotiated(body);
    } else {
        answered(header.status, body);
    }
}

/// The guest has left one framework and one message version, or 0 and 0 of them when it knows none.
void IntegrationService::negotiated(std::span<u8 const> body) {
    struct [[gnu::packed]] Choice {
        ic::NegotiateBody counts;
        ic::Version framework, message;
    } choice;
    state_ = State::Refused;
    if (body.size() < sizeof choice) {
        ++counters_.malformed;
        return;
    }
    std::memcpy(&choice, body.data(), sizeof choice);
    ic::Version const framework = choice.framework, message = choice.message;
    bool const ours = std::ranges::find(kFrameworks, framework) != std::end(kFrameworks) &&
                      std::ranges::find(versions_, message) != versions_.end();
    if (choice.counts.framework_count != 1 || choice.counts.message_count != 1 || !ours) return;
    framework_version_ = framework;
    message_version_ = message;
    state_ = State::Ready;
    started();
}

void IntegrationService::tick(u64 now_100ns) {
    if (state_ == State::Negotiating && !waiting_) negotiate(); // there was no room at open
    if (state_ != State::Ready) return;
    if (waiting_) {
        still_waiting(now_100ns);
    } else {
        idle(now_100ns);
    }
}
} // namespace hv::vmbus
