// SPDX-License-Identifier: Apache-2.0
// A scripted guest driver against the service: messages go in as bytes, what the host sent is a list of
// bytes.
#pragma once
#include "hv/dm/dm_service.hpp"
#include "tests/unit/dm/memory_model.hpp"
#include <cstring>
#include <deque>
#include <string>

namespace hv::dm::test {
using Bytes = std::vector<u8>;

/// The host-to-guest ring: so many messages fit until the guest reads.
class RecordingSink final : public vmbus::ChannelSink {
  public:
    vmbus::SendStatus send_inband(std::span<u8 const> payload, u64) override {
        REQUIRE(payload.size() <= 4096); // the driver never consumes a longer one
        if (sent.size() >= room) {
            return status_when_full;
        }
        sent.emplace_back(payload.begin(), payload.end());
        return vmbus::SendStatus::Ok;
    }
    vmbus::SendStatus send_completion(std::span<u8 const>, u64) override {
        FAIL("the protocol has no completions");
        return vmbus::SendStatus::Closed;
    }
    void break_channel() override { ++breaks; }
    std::deque<Bytes> sent;
    int breaks = 0;
    usize room = 100;
    vmbus::SendStatus status_when_full = vmbus::SendStatus::Full;
};

constexpr u64 kMib = MiB / kPageBytes;
constexpr u64 kSecond = 10'000'000;

class DriverBed {
  public:
    static constexpr u64 kStartup = 1024 * kMib, kHotBase = 1 * GiB / kPageBytes + kStartup,
                         kHot = 2048 * kMib;
    static constexpr u64 kMaximum = kStartup + kHot;

    MemoryModel memory{kStartup, kHotBase, kHot, 8192 * kMib};
    DmService service{memory, kMaximum};
    RecordingSink sink;
    u64 now = 100 * kSecond;
    u32 transaction = 1;

    DriverBed() { service.tick(now); }
    void pass(u64 seconds) {
        for (u64 i = 0; i < seconds; ++i) {
            service.tick(now += kSecond);
        }
    }

    /// @p message as it comes out of a ring: padded to 8 bytes.
    void receive(Bytes message) {
        message.resize((message.size() + 7) / 8 * 8);
        service.received({.kind = vmbus::Packet::Kind::InBand, .payload = message});
    }
    template <class T>
    void receive(wire::Type type, T message, std::vector<u64> const& ranges = {}) {
        message.header = {static_cast<u16>(type), static_cast<u16>(sizeof message + 8 * ranges.size()),
                          transaction++};
        Bytes bytes(sizeof message + 8 * ranges.size());
        std::memcpy(bytes.data(), &message, sizeof message);
        std::copy_n(reinterpret_cast<u8 const*>(ranges.data()), 8 * ranges.size(),
                    bytes.data() + sizeof message);
        receive(bytes);
    }
    void version(u32 version, bool last = false) {
        receive(wire::Type::VersionRequest, wire::VersionRequest{{}, version, last ? 1u : 0u});
    }
    void capabilities(u64 flags = 0x1f) {
        receive(wire::Type::CapabilitiesReport, wire::CapabilitiesReport{{}, flags, 0, ~0ull});
    }
    void status(u64 committed, u64 available = 1000) {
        receive(wire::Type::StatusReport, wire::StatusReport{{}, available, committed, 0, 0, 0, 0});
    }
    static u64 range(u64 first, u64 pages) {
        return wire::RangeStart::of(first) | wire::RangePages::of(pages);
    }
    void ballooned(std::vector<u64> const& ranges, bool more = false) {
        receive(wire::Type::BalloonResponse,
                wire::RangesHead{{}, 0, static_cast<u32>(ranges.size() << 1) | (more ? 1u : 0u)}, ranges);
    }
    void unballoon_answer() {
        struct Answer {
            wire::Header header;
        };
        receive(wire::Type::UnballoonResponse, Answer{});
    }
    void hot_add_answer(u32 pages, u32 result) {
        receive(wire::Type::HotAddResponse, wire::HotAddResponse{{}, pages, result});
    }
    /// Opens the channel and shakes hands; the host's three messages are taken.
    void ready() {
        service.opened(sink);
        version(wire::kVersion2_0);
        capabilities();
        REQUIRE(service.ready());
        sink.sent.clear();
    }
    bool start(Operation::Kind kind, u64 pages) { return service.start({kind, pages}, now); }

    /// The oldest message the guest has not read, as T; its type must be @p type.
    template <class T>
    T take(wire::Type type, Bytes* whole = nullptr) {
        REQUIRE_FALSE(sink.sent.empty());
        Bytes const bytes = sink.sent.front();
        sink.sent.pop_front();
        T message{};
        REQUIRE(bytes.size() >= sizeof(wire::Header));
        std::memcpy(&message, bytes.data(), std::min(bytes.size(), sizeof message));
        REQUIRE(message.header.type == static_cast<u16>(type));
        REQUIRE(message.header.bytes == bytes.size());
        if (whole != nullptr) {
            *whole = bytes;
        }
        return message;
    }
    /// The ranges of the give-back message that the guest reads next.
    std::vector<PageRange> take_give_back() {
        Bytes bytes;
        auto const head = take<wire::RangesHead>(wire::Type::UnballoonRequest, &bytes);
        REQUIRE(head.first == 0); // each batch asks for its own answer
        REQUIRE(bytes.size() == sizeof head + 8 * head.second);
        REQUIRE(head.second != 0);
        std::vector<PageRange> ranges;
        for (u32 i = 0; i < head.second; ++i) {
            u64 word;
            std::memcpy(&word, bytes.data() + sizeof head + 8 * i, 8);
            ranges.push_back({wire::RangeStart::get(word), wire::RangePages::get(word)});
            for (u64 p = 0; p < ranges.back().pages; ++p) { // backed before the guest hears of it
                REQUIRE(memory.at(ranges.back().first_pfn + p) == MemoryModel::Page::Backed);
            }
        }
        return ranges;
    }
};

inline u64 total(std::vector<PageRange> const& ranges) {
    u64 pages = 0;
    for (PageRange const& r : ranges) {
        pages += r.pages;
    }
    return pages;
}
} // namespace hv::dm::test
