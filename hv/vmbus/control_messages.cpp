// SPDX-License-Identifier: Apache-2.0
// One handler a control message. Each gets a private copy of the message and returns false when it is too
// short or of a kind no guest sends; what merely comes at the wrong time is counted and dropped, as a guest's
// driver expects.
#include "hv/vmbus/vmbus_server.hpp"
#include <cstring>
#include <optional>

namespace hv::vmbus {
namespace {
template <class Message>
std::optional<Message> parse(std::span<u8 const> bytes) {
    if (bytes.size() < sizeof(Message)) return {};
    std::optional<Message> message{std::in_place};
    std::memcpy(&*message, bytes.data(), sizeof(Message));
    return message;
}

constexpr u32 ntstatus(GpadlStatus status) {
    switch (status) {
    case GpadlStatus::Created: return kStatusSuccess;
    case GpadlStatus::NoRoom: return kStatusInsufficientResources;
    default: return kStatusInvalidParameter;
    }
}
} // namespace

usize VmbusServer::answers_needed(MessageType type) const {
    switch (type) {
    case MessageType::InitiateContact:
    case MessageType::Unload: return 0; // both throw away the answers that wait
    case MessageType::RequestOffers: return kMaxChannels + 1;
    default: return 1;
    }
}

bool VmbusServer::handle(MessageType type, Bytes message) {
    switch (type) {
    case MessageType::InitiateContact: return initiate_contact(message);
    case MessageType::Unload: return unload();
    default: break;
    }
    if (version_ == 0) return unexpected();
    switch (type) {
    case MessageType::RequestOffers: return request_offers();
    case MessageType::OpenChannel: return open_channel(message);
    case MessageType::CloseChannel: return close_channel(message);
    case MessageType::GpadlHeader: return gpadl_header(message);
    case MessageType::GpadlBody: return gpadl_body(message);
    case MessageType::GpadlTeardown: return gpadl_teardown(message);
    case MessageType::RelIdReleased: return relid_released(message);
    case MessageType::ModifyChannel: return modify_channel(message);
    case MessageType::TlConnectRequest: return true; // no sockets here; the guest does not wait
    default: return false;
    }
}

/// Counts a message that is well formed but has no place now. @return true: it is not malformed
bool VmbusServer::unexpected() {
    ++bus_.counters.messages_unexpected;
    return true;
}

bool VmbusServer::initiate_contact(Bytes bytes) {
    auto const message = parse<InitiateContact>(bytes);
    if (!message) return false;
    reset_bus(); // a live connection ends here: kexec and crash kernels send no Unload
    bool const modern = message->version >= version(5, 0);
    bool const known = std::ranges::find(kVersions, message->version) != std::end(kVersions);
    // Before 3.0 the field means nothing; from 5.0 on the guest may also choose the SINT. Linux: 2.
    u32 const target = message->version < version(3, 0) ? 0 : message->target_vp;
    bool const reachable = target < bus_.hyperv.vp_count();
    bool const sint_ok = !modern || (message->interrupt_page & 0xff) == kMessageSint;

    target_vp_ = reachable ? target : 0;
    VersionResponse response;
    if (known && reachable && sint_ok) {
        version_ = message->version;
        response.supported = 1;
        response.message_connection = modern ? kMessageConnection : version_;
    } else {
        ++bus_.counters.versions_refused; // answered all the same: the guest waits for it without end
    }
    send(response);
    return true;
}

bool VmbusServer::unload() {
    reset_bus();
    send(MessageHeader{MessageType::UnloadResponse});
    return true;
}

bool VmbusServer::request_offers() {
    if (offers_requested_) return unexpected();
    offers_requested_ = true;
    for (Channel& channel : channels_) {
        channel.message_due = channel.state() == Channel::State::Offered;
        send_due(channel);
    }
    send(MessageHeader{MessageType::AllOffersDelivered});
    return true;
}

bool VmbusServer::open_channel(Bytes bytes) {
    auto const message = parse<OpenChannel>(bytes);
    if (!message) return false;
    Channel* const channel = announced_channel(message->relid);
    if (channel == nullptr || channel->state() == Channel::State::Rescinded) {
        return unexpected(); // a rescinded channel's opener learns of it by the rescind message
    }
    u32 const status = channel->state() == Channel::State::Offered
                           ? channel->open(*message, gpadls_.pages(message->relid, message->ring_gpadl))
                           : kStatusInvalidParameter;
    ++(status == kStatusSuccess ? bus_.counters.opens : bus_.counters.opens_refused);
    send(OpenResult{.relid = message->relid, .open_id = message->open_id, .status = status});
    if (status == kStatusSuccess) channel->start();
    return true;
}

bool VmbusServer::close_channel(Bytes bytes) {
    auto const message = parse<RelidMessage>(bytes);
    if (!message) return false;
    Channel* const channel = announced_channel(message->relid);
    if (channel == nullptr || channel->state() == Channel::State::Offered) return unexpected();
    channel->close();
    return true;
}

bool VmbusServer::gpadl_header(Bytes bytes) {
    auto const message = parse<GpadlHeader>(bytes);
    if (!message) return false;
    if (announced_channel(message->relid) == nullptr) {
        answer_gpadl(message->relid, message->gpadl, GpadlStatus::Unknown);
        return true;
    }
    answer_gpadl(message->relid, message->gpadl,
                 gpadls_.begin({message->relid, message->gpadl, message->range_bytes, message->range_count,
                                message->byte_count, message->byte_offset},
                               bytes.subspan(sizeof *message)));
    return true;
}

bool VmbusServer::gpadl_body(Bytes bytes) {
    auto const message = parse<GpadlBody>(bytes);
    if (!message) return false;
    u32 const relid = gpadls_.owner(message->gpadl);
    GpadlStatus const status = gpadls_.append(message->gpadl, bytes.subspan(sizeof *message));
    if (status == GpadlStatus::Unknown) return unexpected();
    answer_gpadl(relid, message->gpadl, status);
    return true;
}

void VmbusServer::answer_gpadl(u32 relid, u32 gpadl, GpadlStatus status) {
    if (status == GpadlStatus::Incomplete) return;
    if (status != GpadlStatus::Created) ++bus_.counters.gpadls_refused;
    send(GpadlCreated{.relid = relid, .gpadl = gpadl, .status = ntstatus(status)});
}

bool VmbusServer::gpadl_teardown(Bytes bytes) {
    auto const message = parse<GpadlTeardown>(bytes);
    if (!message) return false;
    Channel* const channel = announced_channel(message->relid);
    if (channel != nullptr && channel->state() == Channel::State::Open &&
        channel->ring_gpadl() == message->gpadl) {
        // The pages stop being a ring the moment we answer.
        channel->close();
        ++bus_.counters.channels_broken;
    }
    if (!gpadls_.remove(message->relid, message->gpadl)) (void)unexpected();
    send(GpadlTorndown{.gpadl = message->gpadl}); // always: the guest waits for it without end
    return true;
}

bool VmbusServer::relid_released(Bytes bytes) {
    auto const message = parse<RelidMessage>(bytes);
    if (!message) return false;
    Channel* const channel = announced_channel(message->relid);
    if (channel == nullptr || channel->state() != Channel::State::Rescinded) return unexpected();
    gpadls_.remove_all(message->relid);
    channel->free();
    return true;
}

bool VmbusServer::modify_channel(Bytes bytes) {
    auto const message = parse<ModifyChannel>(bytes);
    if (!message) return false;
    if (version_ < version(4, 1)) return unexpected();
    Channel* const channel = announced_channel(message->relid);
    bool const ok = channel != nullptr && channel->state() == Channel::State::Open &&
                    message->target_vp < bus_.hyperv.vp_count();
    if (ok) {
        channel->set_target_vp(message->target_vp);
    } else {
        (void)unexpected();
    }
    if (version_ >= version(5, 3)) {
        send(ModifyChannelResponse{.relid = message->relid,
                                   .status = ok ? kStatusSuccess : kStatusInvalidParameter});
    }
    return true;
}
} // namespace hv::vmbus
