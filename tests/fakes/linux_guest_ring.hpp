// SPDX-License-Identifier: Apache-2.0
// A guest driver's end of a channel: the two rings as Linux's ring_buffer.c treats them, over pages that need
// not be contiguous. Written from the protocol's description, not from hv/vmbus/ring.cpp.
#pragma once
#include "hv/vmbus/vmbus_wire.hpp"
#include "tests/fakes/flat_guest_ram.hpp"
#include <cstring>
#include <optional>

namespace hv::test {
struct GuestPacket {
    u16 type = 0;
    u64 transaction_id = 0;
    std::vector<u8> payload;
    u64 trailer = 0;
    u32 start = 0;
};

/// One ring seen by the guest. Field order: TLFS knows nothing of it; Linux's struct hv_ring_buffer.
class GuestRing {
  public:
    GuestRing(FlatGuestRam& ram, std::vector<u64> pfns) : ram_{ram}, pfns_{std::move(pfns)} {}
    u32& write_index() { return field(0); }
    u32& read_index() { return field(4); }
    u32& interrupt_mask() { return field(8); }
    u32& pending_send_size() { return field(12); }
    u32& feature_bits() { return field(64); }
    u32 size() const { return static_cast<u32>((pfns_.size() - 1) * 4096); }
    u32 used() { return (write_index() + size() - read_index()) % size(); }
    u8& byte(u32 offset) { return *ram_.raw(Gpa{(pfns_[1 + offset / 4096] << 12) + offset % 4096}); }
    std::vector<u64> const& pfns() const { return pfns_; }

    void zero() {
        std::memset(ram_.raw(Gpa{pfns_[0] << 12}), 0, 4096);
        feature_bits() = 1;
    }
    /// @return false when full; signal: what vmbus_sendpacket would do
    bool send(u16 type, std::span<u8 const> payload, u64 tid, u16 flags, bool& signal) {
        std::vector<u8> packet(16 + (payload.size() + 7) / 8 * 8 + 8);
        u16 const length8 = static_cast<u16>((packet.size() - 8) / 8), offset8 = 2;
        std::memcpy(&packet[0], &type, 2);
        std::memcpy(&packet[2], &offset8, 2);
        std::memcpy(&packet[4], &length8, 2);
        std::memcpy(&packet[6], &flags, 2);
        std::memcpy(&packet[8], &tid, 8);
        std::copy(payload.begin(), payload.end(), packet.begin() + 16);
        u32 const old = write_index();
        u64 const trailer = u64{old} << 32;
        std::memcpy(&packet[packet.size() - 8], &trailer, 8);
        if (size() - used() <= packet.size()) return false;
        put(packet);
        signal = interrupt_mask() == 0 && read_index() == old;
        return true;
    }
    /// Appends raw bytes and moves the write index past them.
    void put(std::span<u8 const> bytes) {
        u32 at = write_index();
        for (u8 b : bytes) {
            byte(at) = b;
            at = (at + 1) % size();
        }
        write_index() = at;
    }
    std::optional<GuestPacket> receive() {
        if (used() == 0) return {};
        GuestPacket packet;
        packet.start = read_index();
        u16 offset8 = 0, length8 = 0;
        get(0, &packet.type, 2);
        get(2, &offset8, 2);
        get(4, &length8, 2);
        get(8, &packet.transaction_id, 8);
        packet.payload.resize((length8 - offset8) * 8u);
        get(offset8 * 8u, packet.payload.data(), packet.payload.size());
        get(length8 * 8u, &packet.trailer, 8);
        read_index() = (read_index() + length8 * 8u + 8) % size();
        return packet;
    }

  private:
    u32& field(u64 offset) { return ram_.at<u32>((pfns_[0] << 12) + offset); }
    void get(u32 offset, void* to, usize n) {
        for (usize i = 0; i < n; ++i) {
            static_cast<u8*>(to)[i] = byte((read_index() + offset + static_cast<u32>(i)) % size());
        }
    }
    FlatGuestRam& ram_;
    std::vector<u64> pfns_;
};
} // namespace hv::test
