// SPDX-License-Identifier: Apache-2.0
// The host's end of the Dynamic Memory protocol for one partition: handshake, pressure reports, and one
// operation in flight at a time (the guest numbers its own messages, so an answer is paired by its type).
//
//   Closed ─opened→ Version ─accepted→ Capabilities ─accepted→ Ready ⇄ Ballooning | GivingBack | HotAdding
//                                             any ─lie→ Distrusted (its channel is broken) ─reset of the
//                                             partition→ Closed
#pragma once
#include "hv/dm/balancer.hpp"
#include "hv/dm/dm_wire.hpp"
#include "hv/dm/memory_effects.hpp"
#include "hv/vmbus/channel_device.hpp"

namespace hv::dm {
/// What the balancer may ask for. Pages are 4 KiB.
struct Operation {
    enum class Kind : u8 { None, Balloon, GiveBack, HotAdd } kind = Kind::None;
    u64 pages = 0;
};

struct DmCounters {
    u64 reports = 0;
    u64 ballooned_pages = 0, given_back_pages = 0, hot_added_pages = 0; ///< over the life of the partition
    u64 malformed = 0;      ///< messages with impossible type or size
    u64 foreign_ranges = 0; ///< balloon responses with pages the guest does not have
    u64 unexpected = 0;     ///< answers nobody waits for
    u64 short_answers = 0;  ///< fewer pages than asked
};

/// The last pressure report.
struct Pressure {
    bool valid = false;
    u64 available_pages = 0;
    u64 committed_pages = 0;
    u64 demand_pages = 0; ///< committed less what we hold ballooned
    u64 at_100ns = 0;
};

class DmService final : public vmbus::ChannelDevice {
  public:
    enum class State : u8 {
        Closed,
        Version,
        Capabilities,
        Ready,
        Ballooning,
        GivingBack,
        HotAdding,
        Distrusted
    };
    /// How well the driver answers.
    enum class Liveness : u8 { Absent, Active, Inactive, Uncooperative };
    static constexpr u64 kInactiveAfter = 5 * 10'000'000ull;       ///< 100 ns
    static constexpr u64 kUncooperativeAfter = 20 * 10'000'000ull; ///< 100 ns

    /// @param maximum_pages told to the guest, for its log
    DmService(MemoryEffects& effects, u64 maximum_pages) : effects_{effects}, maximum_pages_{maximum_pages} {}

    /// Starts an operation. @return false when the guest is not ready for one (not open, one in flight, hot
    /// add refused for good), its ring is full, or the host has no frames for it; nothing changed then.
    /// Giving back waits for room in the ring, and ends at once without frames.
    bool start(Operation, u64 now_100ns);
    bool can_start(Operation::Kind) const;

    State state() const { return state_; }
    Liveness liveness(u64 now_100ns) const;
    Pressure const& pressure() const { return pressure_; }
    DmCounters const& counters() const { return counters_; }
    bool ready() const { return state_ == State::Ready; }
    bool hot_add_possible() const { return hot_add_possible_; }
    /// Alignment and granularity the guest wants for hot add, in pages.
    u64 hot_add_unit_pages() const { return hot_add_unit_pages_; }
    /// The last balloon request got less than it asked for: the guest is at its floor for now.
    bool at_floor() const { return at_floor_; }
    /// Ballooned pages that can be given back. Pages that an earlier instance of the driver ballooned are not
    /// among them: this one does not count them, and would count below zero.
    u64 returnable_pages() const;
    /// The partition as the balancer sees it; the owner adds what the configuration says. Only what the
    /// driver can do now is offered: every order that follows from it is one that start() takes.
    PartitionView view(u64 now_100ns) const;
    /// Partition reset: forgets the guest and what it did, its kernel is a new one; the memory side is reset
    /// by its owner.
    void reset();

    vmbus::ChannelOffer const& offer() const override;
    void opened(vmbus::ChannelSink& sink) override;
    void received(vmbus::Packet const& packet) override;
    void writable() override;
    void closed() override;
    void tick(u64 now_100ns) override;

  private:
    template <class T>
    bool take(std::span<u8 const> message, T& out);
    void on_version(std::span<u8 const> message);
    void on_capabilities(std::span<u8 const> message);
    void on_status(std::span<u8 const> message);
    void on_balloon_response(std::span<u8 const> message);
    void on_hot_add_response(std::span<u8 const> message);
    bool send(std::span<u8 const> message);
    template <class T>
    bool send_message(T& message, wire::Type type);
    bool start_ballooning(u64 pages);
    bool start_hot_add(u64 pages);
    void continue_giving_back();
    u64 hot_addable_pages() const;
    u64 unsettled_pages() const;
    void distrust();
    void forget_driver(State next);
    void idle() { state_ = State::Ready; }

    MemoryEffects& effects_;
    u64 const maximum_pages_;
    vmbus::ChannelSink* sink_ = nullptr;
    State state_ = State::Closed;
    u32 next_transaction_ = 1;
    u64 now_100ns_ = 0;
    u64 asked_at_100ns_ = 0; ///< when the operation in flight, or its last sign of life, began
    u64 left_pages_ = 0;     ///< of the operation in flight
    bool hot_add_possible_ = false;
    bool at_floor_ = false;
    u64 batch_pages_ = 0; ///< given back in a message whose answer is pending; 0: none is
    u64 lost_pages_ = 0;  ///< ballooned before this driver instance came
    u64 hot_add_unit_pages_ = 128 * MiB / kPageBytes;
    u64 region_end_pfn_ = 0; ///< end of the hot-add region announced last
    u64 give_back_from_ = 0;
    Pressure pressure_;
    DmCounters counters_;
    alignas(8) u8 message_[4096] = {};
};
} // namespace hv::dm
