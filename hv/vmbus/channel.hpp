// SPDX-License-Identifier: Apache-2.0
// One channel of the bus: the host's device on one side, the guest's rings on the other.
//
//   Free ─ add ─► Offered ⇄ Open ─ guest lies ─► Broken ─ guest closes ─► Offered
//                    └─────── rescind ───────► Rescinded ─ guest releases ─► Free
#pragma once
#include "hv/hyperv/hyperv_interface.hpp"
#include "hv/vmbus/ring.hpp"
#include "hv/vmbus/vmbus_counters.hpp"

namespace hv::vmbus {
/// What all channels of a bus share; owned by VmbusServer.
struct BusEnvironment {
    GuestAccess& memory;
    hyperv::HypervInterface& hyperv;
    VmbusCounters counters;
    bool more = false;                       ///< some channel may have more than one service took
    std::array<u8, kMaxPayloadBytes> packet; ///< the packet being handled
};

class Channel final : public ChannelSink {
  public:
    enum class State : u8 { Free, Offered, Open, Broken, Rescinded };

    void bind(BusEnvironment& bus, u32 relid) { bus_ = &bus, relid_ = relid; }
    void attach(ChannelDevice& device);

    State state() const { return state_; }
    ChannelDevice* device() const { return device_; }
    u32 relid() const { return relid_; }
    u32 ring_gpadl() const { return ring_gpadl_; }
    /// The guest knows of this channel.
    bool announced = false;
    /// A message about it (offer or rescind) waits for room in the message queue.
    bool message_due = false;

    /// Checks the rings; the device is told by start(). @return a status for OpenResult
    u32 open(OpenChannel const& request, std::span<u32 const> pages);
    void start();
    /// Open or Broken → Offered; tells the device.
    void close();
    void set_target_vp(u32 vp) { target_vp_ = vp; }
    /// The device leaves; the guest still has to let go of the channel.
    void rescind();
    void free();

    /// Reads what the guest has written, and lets a blocked device try again. Bounded by the ring's size.
    void service();
    /// service() stopped at its bound.
    bool has_more() const { return state_ == State::Open && more_; }
    void tick(u64 now_100ns);

    SendStatus send_inband(std::span<u8 const> payload, u64 transaction_id) override;
    SendStatus send_completion(std::span<u8 const> payload, u64 transaction_id) override;
    void break_channel() override { corrupt_ = true; }

  private:
    SendStatus send(PacketType type, std::span<u8 const> payload, u64 transaction_id);
    RingStatus drain(u32& budget_bytes);
    void hand_over(PacketDescriptor const& descriptor, std::span<u8 const> payload);
    void signal_guest();
    bool end_if_corrupt();

    BusEnvironment* bus_ = nullptr;
    ChannelDevice* device_ = nullptr;
    u32 relid_ = 0;
    State state_ = State::Free;
    bool corrupt_ = false; ///< found while the device was on the stack; the channel ends when it returns
    bool more_ = false;
    u32 target_vp_ = 0;
    u32 ring_gpadl_ = 0;
    IncomingRing incoming_;
    OutgoingRing outgoing_;
};
} // namespace hv::vmbus
