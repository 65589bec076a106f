// SPDX-License-Identifier: Apache-2.0
// Moves packets between a device and its guest driver.
#include "hv/vmbus/channel.hpp"

namespace hv::vmbus {
void Channel::attach(ChannelDevice& device) {
    HV_ASSERT(state_ == State::Free);
    device_ = &device;
    state_ = State::Offered;
    announced = message_due = false;
}

u32 Channel::open(OpenChannel const& request, std::span<u32 const> pages) {
    u32 const downstream = request.downstream_page_offset;
    if (request.target_vp >= bus_->hyperv.vp_count() || downstream < RingPages::kMinPages ||
        downstream > pages.size() || pages.size() - downstream < RingPages::kMinPages) {
        return kStatusInvalidParameter;
    }
    if (incoming_.attach({bus_->memory, pages.first(downstream)}) != RingStatus::Ok ||
        outgoing_.attach({bus_->memory, pages.subspan(downstream)}) != RingStatus::Ok) {
        return kStatusInvalidParameter;
    }
    target_vp_ = request.target_vp;
    ring_gpadl_ = request.ring_gpadl;
    corrupt_ = more_ = false;
    state_ = State::Open;
    return kStatusSuccess;
}

void Channel::start() {
    device_->opened(*this);
    end_if_corrupt();
}

void Channel::close() {
    bool const was_open = state_ == State::Open;
    if (was_open || state_ == State::Broken) state_ = State::Offered;
    ring_gpadl_ = 0;
    if (was_open) device_->closed();
}

void Channel::rescind() {
    close();
    device_ = nullptr;
    state_ = State::Rescinded;
}

void Channel::free() {
    HV_ASSERT(state_ != State::Open);
    device_ = nullptr;
    state_ = State::Free;
    announced = message_due = false;
}

bool Channel::end_if_corrupt() {
    if (!corrupt_) return false;
    corrupt_ = false;
    ++bus_->counters.channels_broken;
    state_ = State::Broken; // the pages stay the guest's to tear down
    device_->closed();
    return true;
}

void Channel::service() {
    if (state_ != State::Open || end_if_corrupt()) return;
    if (outgoing_.room_again()) {
        device_->writable();
        if (end_if_corrupt()) return;
    }
    // A second processor of the guest could write for ever; the caller comes back for the rest.
    u32 budget_bytes = 2 * incoming_.data_bytes();
    RingStatus status = RingStatus::Ok;
    do {
        incoming_.set_mask(true);
        status = drain(budget_bytes);
        corrupt_ = corrupt_ || status == RingStatus::Corrupt;
        if (end_if_corrupt()) return;
        if (incoming_.publish()) signal_guest();
        incoming_.set_mask(false);
    } while (status == RingStatus::Empty && !incoming_.empty());
    more_ = status == RingStatus::Ok;
    bus_->more |= more_;
}

/// @return Empty, Corrupt, or Ok when the budget is used up
RingStatus Channel::drain(u32& budget_bytes) {
    while (budget_bytes != 0) {
        PacketDescriptor descriptor;
        std::span<u8 const> payload;
        RingStatus const status = incoming_.read(bus_->packet, descriptor, payload);
        if (status != RingStatus::Ok) return status;
        budget_bytes -= std::min<u32>(budget_bytes, descriptor.total_length8 * 8u + kPacketTrailerBytes);
        ++bus_->counters.packets_received;
        hand_over(descriptor, payload);
        if (corrupt_) return RingStatus::Corrupt; // the device found out while sending
    }
    return RingStatus::Ok;
}

void Channel::hand_over(PacketDescriptor const& descriptor, std::span<u8 const> payload) {
    bool const wanted = descriptor.type == PacketType::InBand || descriptor.type == PacketType::Completion;
    if (!wanted) {
        ++bus_->counters.packets_ignored;
        return;
    }
    device_->received(
        {descriptor.type == PacketType::InBand ? Packet::Kind::InBand : Packet::Kind::Completion,
         (descriptor.flags & kCompletionRequested) != 0, descriptor.transaction_id, payload});
}

void Channel::tick(u64 now_100ns) {
    if (state_ == State::Open && (more_ || corrupt_ || outgoing_.blocked())) service();
    if (device_ != nullptr) device_->tick(now_100ns);
    if (state_ == State::Open) end_if_corrupt();
}

SendStatus Channel::send_inband(std::span<u8 const> payload, u64 transaction_id) {
    return send(PacketType::InBand, payload, transaction_id);
}

SendStatus Channel::send_completion(std::span<u8 const> payload, u64 transaction_id) {
    return send(PacketType::Completion, payload, transaction_id);
}

SendStatus Channel::send(PacketType type, std::span<u8 const> payload, u64 transaction_id) {
    HV_ASSERT(payload.size() <= kMaxPayloadBytes);
    if (state_ != State::Open) return SendStatus::Closed;
    if (corrupt_) return SendStatus::Corrupt;
    bool signal = false;
    switch (outgoing_.write(type, payload, transaction_id, signal)) {
    case RingStatus::Ok: break;
    case RingStatus::Full: ++bus_->counters.sends_full; return SendStatus::Full;
    default: corrupt_ = true; return SendStatus::Corrupt;
    }
    ++bus_->counters.packets_sent;
    if (signal) signal_guest();
    return SendStatus::Ok;
}

void Channel::signal_guest() {
    ++bus_->counters.signals_sent;
    (void)bus_->hyperv.signal_event(target_vp_, kMessageSint, relid_);
}
} // namespace hv::vmbus
