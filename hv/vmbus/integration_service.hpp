// SPDX-License-Identifier: Apache-2.0
// What heartbeat, shutdown and time synchronisation have in common: the message framing, the negotiation the
// host starts after open, and one request in flight at a time (drivers read one packet an interrupt).
//
//   Closed ─opened─► Negotiating ─answer─► Ready │ Refused
#pragma once
#include "hv/vmbus/channel_device.hpp"
#include "hv/vmbus/integration_wire.hpp"

namespace hv::vmbus {
struct ServiceCounters {
    u64 requests = 0, answers = 0;
    u64 malformed = 0;  ///< too short, or not an answer
    u64 unexpected = 0; ///< an answer nobody waits for
};

class IntegrationService : public ChannelDevice {
  public:
    enum class State : u8 { Closed, Negotiating, Ready, Refused };

    IntegrationService(IntegrationService const&) = delete;
    IntegrationService& operator=(IntegrationService const&) = delete;

    State state() const { return state_; }
    ic::Version negotiated() const { return message_version_; }
    ServiceCounters const& service_counters() const { return counters_; }

    ChannelOffer const& offer() const final { return offer_; }
    void opened(ChannelSink& sink) final;
    void received(Packet const& packet) final;
    void writable() final {} // the next tick tries again
    void closed() final;
    void tick(u64 now_100ns) final;

  protected:
    /// @param versions  offered for this service's messages, outlives the service, at most kMaxVersions
    IntegrationService(Guid const& type, Guid const& instance, ic::MessageType message,
                       std::span<ic::Version const> versions);

    /// Fills in the header at the start of @p message and sends it. @return false when the ring is full
    bool request(std::span<u8> message);
    bool waiting() const { return waiting_; }

    /// Negotiated: state() is Ready.
    virtual void started() = 0;
    /// State is Ready and nothing is in flight.
    virtual void idle(u64 now_100ns) = 0;
    /// A request is in flight.
    virtual void still_waiting(u64 now_100ns) = 0;
    /// The guest's answer to the request in flight. @param body  what it sent back behind the header
    virtual void answered(u32 status, std::span<u8 const> body) = 0;
    /// The channel has been closed; state() is Closed.
    virtual void stopped() = 0;

  private:
    static constexpr usize kMaxVersions = 4;
    bool send(std::span<u8> message, ic::MessageType type);
    void negotiate();
    void negotiated(std::span<u8 const> body);

    ChannelOffer offer_;
    ic::MessageType type_;
    std::span<ic::Version const> versions_;
    ChannelSink* sink_ = nullptr;
    State state_ = State::Closed;
    ic::Version framework_version_{}, message_version_{};
    bool waiting_ = false;
    u8 transaction_id_ = 0; ///< of the message in flight
    ServiceCounters counters_;
};
} // namespace hv::vmbus
