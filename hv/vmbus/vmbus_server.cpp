// SPDX-License-Identifier: Apache-2.0
// The bus itself: devices, events, housekeeping, and the door for control messages (their handlers are in
// control_messages.cpp).
#include "hv/vmbus/vmbus_server.hpp"
#include <cstring>

namespace hv::vmbus {
using hyperv::HypercallStatus;

VmbusServer::VmbusServer(GuestAccess& memory, hyperv::HypervInterface& hyperv)
    : bus_{memory, hyperv, {}, false, {}} {
    // Every answer of one message has to fit, or the message could never be taken.
    static_assert(kMaxChannels + 1 < hyperv::MessagePool::kMessages);
    for (u32 i = 0; i < kMaxChannels; ++i) {
        channels_[i].bind(bus_, i + 1);
    }
    hyperv.connect(*this, *this);
}

bool VmbusServer::add(ChannelDevice& device) {
    for (Channel& channel : channels_) {
        if (channel.state() != Channel::State::Free) continue;
        channel.attach(device);
        channel.message_due = offers_requested_;
        send_due(channel);
        return true;
    }
    return false;
}

bool VmbusServer::rescind(ChannelDevice& device) {
    Channel* const channel = find(device);
    if (channel == nullptr) return false;
    channel->rescind();
    if (channel->announced) {
        channel->message_due = true;
        send_due(*channel);
    } else {
        channel->free();
    }
    return true;
}

/// Sends the offer or rescind message a channel owes the guest, as soon as there is room for one.
void VmbusServer::send_due(Channel& channel) {
    if (!channel.message_due || bus_.hyperv.message_room() == 0) return;
    channel.message_due = false;
    if (channel.state() == Channel::State::Rescinded) {
        send(RelidMessage{{MessageType::RescindOffer}, channel.relid()});
        return;
    }
    ChannelOffer const& offer = channel.device()->offer();
    channel.announced = true;
    send(OfferChannel{.interface_type = offer.type,
                      .instance = offer.instance,
                      .flags = offer.flags,
                      .user_data = offer.user_data,
                      .relid = channel.relid(),
                      .connection_id = event_connection(channel.relid())});
}

/// Callers have made sure of the room.
void VmbusServer::send_bytes(Bytes message) {
    auto const status = bus_.hyperv.post_message(target_vp_, kMessageSint, kChannelMessage, message);
    HV_ASSERT(status == hyperv::PostStatus::Ok);
}

Channel* VmbusServer::announced_channel(u32 relid) {
    if (relid == 0 || relid > kMaxChannels) return nullptr;
    Channel& channel = channels_[relid - 1];
    return channel.state() != Channel::State::Free && channel.announced ? &channel : nullptr;
}

Channel* VmbusServer::find(ChannelDevice const& device) {
    auto const it = std::ranges::find_if(channels_, [&](Channel const& c) { return c.device() == &device; });
    return it == channels_.end() ? nullptr : &*it;
}

bool VmbusServer::is_open(ChannelDevice const& device) const {
    return std::ranges::any_of(channels_, [&](Channel const& c) {
        return c.device() == &device && c.state() == Channel::State::Open;
    });
}

void VmbusServer::reset_bus() {
    for (Channel& channel : channels_) {
        channel.close();
        if (channel.state() == Channel::State::Rescinded) channel.free();
        channel.announced = channel.message_due = false;
    }
    gpadls_.clear();
    bus_.hyperv.discard_messages(kMessageSint); // answers to a driver that is gone
    version_ = 0;
    offers_requested_ = false;
}

void VmbusServer::reset() {
    reset_bus();
    target_vp_ = 0;
}

void VmbusServer::tick(u64 now_100ns) {
    bus_.more = false;
    for (Channel& channel : channels_) {
        send_due(channel);
        channel.tick(now_100ns);
        bus_.more |= channel.has_more();
    }
}

void VmbusServer::run_pending() {
    bus_.more = false;
    for (Channel& channel : channels_) {
        if (channel.has_more()) channel.service();
    }
}

HypercallStatus VmbusServer::signal(u32 /*vp_index*/, u32 connection_id, u16 flag) {
    Channel* const channel = announced_channel(connection_id & kMaxRelid);
    if (channel == nullptr || connection_id != event_connection(channel->relid())) {
        return HypercallStatus::InvalidConnectionId;
    }
    if (flag != 0) return HypercallStatus::InvalidParameter;
    ++bus_.counters.signals_received;
    if (channel->state() != Channel::State::Open) ++bus_.counters.signals_stray;
    channel->service();
    return HypercallStatus::Success;
}

HypercallStatus VmbusServer::post(u32 /*vp_index*/, u32 connection_id, u32 message_type, Bytes payload) {
    if (connection_id != kMessageConnection && connection_id != kOldMessageConnection) {
        return HypercallStatus::InvalidConnectionId;
    }
    ++bus_.counters.messages;
    if (message_type != kChannelMessage || payload.size() < sizeof(MessageHeader)) {
        ++bus_.counters.messages_malformed;
        return HypercallStatus::InvalidParameter;
    }
    MessageHeader header;
    std::memcpy(&header, payload.data(), sizeof header);
    // Answers keep the order of their requests, so one is only taken when its answers have room to wait.
    if (bus_.hyperv.message_room() < answers_needed(header.type)) {
        ++bus_.counters.messages_deferred;
        return HypercallStatus::InsufficientBuffers;
    }
    if (!handle(header.type, payload)) {
        ++bus_.counters.messages_malformed;
        return HypercallStatus::InvalidParameter;
    }
    return HypercallStatus::Success;
}
} // namespace hv::vmbus
