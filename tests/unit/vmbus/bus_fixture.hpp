// SPDX-License-Identifier: Apache-2.0
// A partition of fakes around a real HypervInterface and VmbusServer, and a device that records.
#pragma once
#include "hv/vmbus/vmbus_server.hpp"
#include "tests/fakes/linux_guest.hpp"
#include <catch2/catch.hpp>

namespace hv::test {
struct ReceivedPacket {
    vmbus::Packet::Kind kind;
    bool completion_requested;
    u64 transaction_id;
    Bytes payload;
};

class EchoDevice : public vmbus::ChannelDevice {
  public:
    explicit EchoDevice(u8 instance = 1) {
        offer_.type = vmbus::guid("525074dc-8985-46e2-8057-a307dc18a502");
        offer_.instance.wire[15] = instance;
    }
    vmbus::ChannelOffer const& offer() const override { return offer_; }
    void opened(vmbus::ChannelSink& s) override {
        sink = &s, ++opens;
        if (on_opened) on_opened();
    }
    void received(vmbus::Packet const& p) override {
        packets.push_back(
            {p.kind, p.completion_requested, p.transaction_id, Bytes(p.payload.begin(), p.payload.end())});
        if (echo) last_send = sink->send_inband(p.payload, p.transaction_id);
        if (p.completion_requested) last_send = sink->send_completion({}, p.transaction_id);
        if (on_received) on_received();
    }
    void writable() override {
        ++writables;
        if (on_writable) on_writable();
    }
    void closed() override { sink = nullptr, ++closes; }
    void tick(u64) override { ++ticks; }

    vmbus::ChannelSink* sink = nullptr;
    std::vector<ReceivedPacket> packets;
    vmbus::SendStatus last_send = vmbus::SendStatus::Ok;
    bool echo = false;
    int opens = 0, closes = 0, writables = 0, ticks = 0;
    std::function<void()> on_received, on_opened, on_writable;

  private:
    vmbus::ChannelOffer offer_;
};

struct Bus {
    explicit Bus(u32 vps = 2) : storage(vps) {}
    FlatGuestRam ram{512};
    RecordingInterrupts interrupts;
    ManualClock clock;
    std::vector<hyperv::HypervVp> storage;
    hyperv::HypervInterface hv{{.memory = ram,
                                .interrupts = interrupts,
                                .clock = clock,
                                .vps = storage,
                                .hypercall_instruction = {0x0f, 0x01, 0xd9},
                                .apic_hz = 1'000'000'000}};
    vmbus::VmbusServer server{ram, hv};
    LinuxGuest guest{hv, ram, interrupts};

    void start_guest() {
        guest.boot();
        for (u32 vp = 0; vp < hv.vp_count(); ++vp) {
            guest.enable_synic(vp);
        }
    }
    /// Start-up to an open channel of the first offer.
    GuestChannel& open_first(u32 pages = 4, u32 vp = 0) {
        start_guest();
        auto const response = guest.initiate_contact(vmbus::version(5, 3));
        REQUIRE(response.has_value());
        REQUIRE(response->supported == 1);
        auto const offers = guest.request_offers();
        REQUIRE(!offers.empty());
        GuestChannel* const channel = guest.open(offers[0], pages, vp);
        REQUIRE(channel != nullptr);
        return *channel;
    }
};

inline Bytes pattern(usize n, u8 first = 1) {
    Bytes bytes(n);
    for (usize i = 0; i < n; ++i)
        bytes[i] = static_cast<u8>(first + i * 7);
    return bytes;
}
} // namespace hv::test
