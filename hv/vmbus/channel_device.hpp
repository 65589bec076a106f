// SPDX-License-Identifier: Apache-2.0
// What a host-side VMBus device is, and how it talks to its guest driver. The server (vmbus_server.hpp) owns
// rings, GPADLs and signalling; a device sees whole packets. Dynamic memory, heartbeat, shutdown and time
// synchronisation are ChannelDevices.
#pragma once
#include "hv/base/types.hpp"
#include "hv/vmbus/guid.hpp"
#include <array>
#include <span>

namespace hv::vmbus {
/// Largest packet payload a device receives or sends. A guest's longer packet closes its channel. Mind the
/// driver's own limit, which is often 4096 (balloon, util services).
inline constexpr usize kMaxPayloadBytes = 8192;

/// What the guest is told about a device (OfferChannel).
struct ChannelOffer {
    Guid type;     ///< which driver binds
    Guid instance; ///< unique in the partition
    u16 flags = 0; ///< OfferChannel flags; 0 for plain devices, kOfferNamedPipe for util services
    std::array<u8, 120> user_data{};
};
/// The device speaks through a message pipe: its user data holds the pipe mode, packets a pipe header.
inline constexpr u16 kOfferNamedPipe = 0x10;

/// One packet out of the guest's ring, already copied: the guest can no longer change it.
struct Packet {
    enum class Kind : u8 { InBand, Completion } kind = Kind::InBand;
    bool completion_requested = false; ///< the guest waits for ChannelSink::send_completion()
    u64 transaction_id = 0;
    /// Ends padded to a multiple of 8 bytes: the ring does not keep the exact length. Guest's bytes: check
    /// every one.
    std::span<u8 const> payload;
};

enum class SendStatus : u8 {
    Ok,
    Full,    ///< no room now; ChannelDevice::writable() follows when the guest has read enough
    Corrupt, ///< the guest's ring indices lie; the channel is dead, closed() follows soon
    Closed,  ///< not open (any more)
};

/// A device's way to its guest driver; valid from opened() until closed() returns.
class ChannelSink {
  public:
    virtual ~ChannelSink() = default;
    /// Queues one in-band packet for the guest and signals it when the protocol asks for it. @p payload is at
    /// most kMaxPayloadBytes. All or nothing. Never calls back into the device. Context: a callback of this
    /// device, or any other moment at which the partition's lock is held and its guest memory reachable.
    virtual SendStatus send_inband(std::span<u8 const> payload, u64 transaction_id) = 0;
    /// Answers a packet that came with completion_requested, under the same rules.
    virtual SendStatus send_completion(std::span<u8 const> payload, u64 transaction_id) = 0;
    /// The driver has told this device a lie: nothing more is sent or read, closed() follows when the
    /// device's callback has returned, and the channel stays broken until the guest closes it. Context as
    /// send_inband().
    virtual void break_channel() = 0;
};

/// A device on the bus. All calls come from the VmbusServer, serialised per partition; none may allocate or
/// wait. Times are partition reference time (100 ns).
class ChannelDevice {
  public:
    virtual ~ChannelDevice() = default;
    /// Constant for the device's life.
    virtual ChannelOffer const& offer() const = 0;
    /// The guest's driver has opened the channel and its OpenResult is on the way: the device may send. May
    /// happen again after closed() (module reload, reboot).
    virtual void opened(ChannelSink& sink) = 0;
    /// One packet; the span dies with the call.
    virtual void received(Packet const& packet) = 0;
    /// A send returned Full earlier and the guest has made room since: worth trying again.
    virtual void writable() = 0;
    /// The channel is gone: the driver closed it, the guest was reset, or it lied. The sink must not be used
    /// again.
    virtual void closed() = 0;
    /// Housekeeping, about once a second, whether open or not. @p now_100ns never goes back.
    virtual void tick(u64 now_100ns) = 0;
};
} // namespace hv::vmbus
