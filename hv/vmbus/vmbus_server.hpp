// SPDX-License-Identifier: Apache-2.0
// A partition's VMBus, the host's end: negotiates with the guest's bus driver, offers the devices, and
// connects their channels. Control messages come in as posted messages (hv/hyperv), answers leave as SynIC
// messages in order.
#pragma once
#include "hv/vmbus/channel.hpp"
#include "hv/vmbus/gpadl_table.hpp"

namespace hv::vmbus {
/// One per partition. Calls are serialised by the partition's lock, like those of HypervInterface; nothing
/// allocates or waits. A guest's error costs that guest its answer, its channel or a try: counters tell.
class VmbusServer final : public hyperv::PostSink, public hyperv::EventSink {
  public:
    static constexpr usize kMaxChannels = 16;

    VmbusServer(GuestAccess& memory, hyperv::HypervInterface& hyperv);
    VmbusServer(VmbusServer const&) = delete;
    VmbusServer& operator=(VmbusServer const&) = delete;

    /// Puts a device on the bus; a guest that has asked for offers already gets this one now. The device
    /// outlives the server or leaves by rescind(). @return false when the bus is full
    bool add(ChannelDevice& device);
    /// Takes a device away; it is closed when this returns. @return false when it is not on the bus
    bool rescind(ChannelDevice& device);

    /// The partition is reset: drops everything the guest has set up. Call before HypervInterface::reset().
    void reset();
    /// Housekeeping, about once a second. @p now_100ns  reference time
    void tick(u64 now_100ns);
    /// A channel has more packets than one service takes: call run_pending() before the guest idles.
    bool has_pending_work() const { return bus_.more; }
    void run_pending();

    hyperv::HypercallStatus post(u32 vp_index, u32 connection_id, u32 message_type,
                                 std::span<u8 const> payload) override;
    hyperv::HypercallStatus signal(u32 vp_index, u32 connection_id, u16 flag) override;

    /// Negotiated version (major << 16 | minor), 0 while no guest driver is connected.
    u32 negotiated_version() const { return version_; }
    bool is_open(ChannelDevice const& device) const;
    VmbusCounters const& counters() const { return bus_.counters; }
    GpadlTable const& gpadls() const { return gpadls_; }

  private:
    using Bytes = std::span<u8 const>;

    usize answers_needed(MessageType type) const;
    bool handle(MessageType type, Bytes message);
    bool initiate_contact(Bytes message);
    bool request_offers();
    bool open_channel(Bytes message);
    bool close_channel(Bytes message);
    bool gpadl_header(Bytes message);
    bool gpadl_body(Bytes message);
    bool gpadl_teardown(Bytes message);
    bool relid_released(Bytes message);
    bool modify_channel(Bytes message);
    bool unload();

    void answer_gpadl(u32 relid, u32 gpadl, GpadlStatus status);
    bool unexpected();
    void reset_bus();
    void send_due(Channel& channel);
    Channel* announced_channel(u32 relid);
    Channel* find(ChannelDevice const& device);
    void send_bytes(Bytes message);
    template <class Message>
    void send(Message const& message) {
        static_assert(sizeof message <= kMaxMessageBytes);
        send_bytes(std::span{reinterpret_cast<u8 const*>(&message), sizeof message});
    }

    BusEnvironment bus_;
    GpadlTable gpadls_;
    std::array<Channel, kMaxChannels> channels_;
    u32 version_ = 0;
    u32 target_vp_ = 0;
    bool offers_requested_ = false;
};
} // namespace hv::vmbus
