// SPDX-License-Identifier: Apache-2.0
// A guest that talks to the bus with every message, in any order and with any contents, over rings that it
// rewrites at will and pages that come and go.
#include "hv/vmbus/heartbeat.hpp"
#include "hv/vmbus/shutdown.hpp"
#include "hv/vmbus/time_sync.hpp"
#include "hv/vmbus/vmbus_server.hpp"
#include "tests/fakes/linux_guest.hpp"
#include "tests/fuzz/fuzz_choices.hpp"

using namespace hv;
using namespace hv::test;
using namespace hv::vmbus;

namespace {
constexpr u32 kVps = 2;
constexpr u64 kPages = 0x70, kFirstRingPage = 0x40, kRingPages = 0x28;

/// Talks back, and checks that the server keeps its promises to devices.
class Device final : public ChannelDevice {
  public:
    explicit Device(u8 instance) { offer_.instance.wire[0] = instance; }
    ChannelOffer const& offer() const override { return offer_; }
    void opened(ChannelSink& s) override {
        REQUIRE_THAT(sink == nullptr);
        sink = &s;
    }
    void received(Packet const& packet) override {
        REQUIRE_THAT(sink != nullptr);
        REQUIRE_THAT(packet.payload.size() <= kMaxPayloadBytes && packet.payload.size() % 8 == 0);
        if (packet.payload.size() > 16) (void)sink->send_inband(packet.payload, packet.transaction_id);
        if (packet.completion_requested) (void)sink->send_completion({}, packet.transaction_id);
        REQUIRE_THAT(sink != nullptr); // closed() never comes out of a send
    }
    void writable() override { REQUIRE_THAT(sink != nullptr); }
    void closed() override {
        REQUIRE_THAT(sink != nullptr);
        sink = nullptr;
    }
    void tick(u64) override {}
    ChannelSink* sink = nullptr;

  private:
    ChannelOffer offer_;
};

struct World {
    FlatGuestRam ram{kPages};
    RecordingInterrupts interrupts;
    ManualClock clock;
    std::array<hyperv::HypervVp, kVps> vps;
    hyperv::HypervInterface hv{
        {.memory = ram, .interrupts = interrupts, .clock = clock, .vps = vps, .hypercall_instruction = {}}};
    VmbusServer server{ram, hv};
    Device first{1}, second{2};
    Heartbeat heartbeat;
    ShutdownService shutdown;
    TimeSync time{clock};
    LinuxGuest guest{hv, ram, interrupts};
    bool first_on_bus = true;

    World() {
        server.add(first);
        server.add(second);
        server.add(heartbeat);
        server.add(shutdown);
        server.add(time);
        guest.boot();
        for (u32 vp = 0; vp < kVps; ++vp)
            guest.enable_synic(vp);
    }
    void check() {
        REQUIRE_THAT(server.is_open(first) == (first.sink != nullptr));
        REQUIRE_THAT(server.is_open(second) == (second.sink != nullptr));
        REQUIRE_THAT(server.is_open(heartbeat) == (heartbeat.state() != IntegrationService::State::Closed));
        REQUIRE_THAT(server.gpadls().used_pages() <= GpadlTable::kPoolPages);
        REQUIRE_THAT(hv.message_room() <= hyperv::MessagePool::kMessages);
    }
};

u32 some_relid(FuzzInput& in) {
    return one_in(in, 8) ? in.get<u32>() : 1 + below(in, 6);
}
u32 some_vp(FuzzInput& in) {
    return one_in(in, 8) ? in.get<u32>() : below(in, kVps);
}
u64 some_page(FuzzInput& in) {
    return one_in(in, 32) ? in.get<u64>() : kFirstRingPage + below(in, kRingPages);
}

void post_gpadl(World& w, FuzzInput& in) {
    u32 const pages = one_in(in, 4) ? below(in, 70) : 4 + below(in, 6);
    u32 const gpadl = below(in, 12);
    GpadlHeader header{.relid = some_relid(in),
                       .gpadl = gpadl,
                       .range_bytes = static_cast<u16>(8 + 8 * pages),
                       .range_count = 1,
                       .byte_count = pages * 4096,
                       .byte_offset = 0};
    if (one_in(in, 8)) header.range_bytes = in.get<u16>();
    if (one_in(in, 8)) header.byte_count = in.get<u32>();
    if (one_in(in, 16)) header.range_count = in.get<u16>();
    Bytes message = bytes_of(header);
    u32 const here = one_in(in, 8) ? below(in, 27) : std::min(pages, 26u);
    u64 page = some_page(in);
    for (u32 i = 0; i < here; ++i) {
        Bytes const pfn = bytes_of(page);
        message.insert(message.end(), pfn.begin(), pfn.end());
        page = one_in(in, 8) ? some_page(in) : page + 1;
    }
    (void)w.guest.try_post(message, 4);
    if (pages > here && !one_in(in, 3)) {
        Bytes body = bytes_of(GpadlBody{.message_number = 0, .gpadl = gpadl});
        body.resize(16 + 8 * below(in, 29), 0x41);
        (void)w.guest.try_post(body, 4);
    }
}

void post_control(World& w, FuzzInput& in) {
    switch (below(in, 10)) {
    case 0:
    case 1: post_gpadl(w, in); break;
    case 2:
    case 3:
    case 4:
        (void)w.guest.try_post(bytes_of(OpenChannel{.relid = some_relid(in),
                                                    .open_id = in.get<u8>(),
                                                    .ring_gpadl = below(in, 12),
                                                    .target_vp = some_vp(in),
                                                    .downstream_page_offset = below(in, 8)}),
                               4);
        break;
    case 5:
        (void)w.guest.try_post(
            bytes_of(RelidMessage{{one_in(in, 2) ? MessageType::CloseChannel : MessageType::RelIdReleased},
                                  some_relid(in)}),
            4);
        break;
    case 6:
        (void)w.guest.try_post(bytes_of(GpadlTeardown{.relid = some_relid(in), .gpadl = below(in, 12)}), 4);
        break;
    case 7:
        (void)w.guest.try_post(bytes_of(ModifyChannel{.relid = some_relid(in), .target_vp = some_vp(in)}), 4);
        break;
    case 8:
        if (one_in(in, 3)) (void)w.guest.try_post(bytes_of(MessageHeader{MessageType::Unload}), 4);
        (void)w.guest.try_post(bytes_of(InitiateContact{{MessageType::InitiateContact},
                                                        kVersions[below(in, 8)],
                                                        some_vp(in),
                                                        one_in(in, 8) ? in.get<u64>() : 2,
                                                        0,
                                                        0}),
                               4);
        (void)w.guest.try_post(bytes_of(MessageHeader{MessageType::RequestOffers}), 4);
        break;
    default: { // anything
        Bytes message = bytes_from(in, below(in, 241));
        u32 const type = below(in, 30);
        if (message.size() >= 4 && !one_in(in, 8)) std::memcpy(message.data(), &type, 4);
        (void)w.guest.try_post(message, 1 + below(in, 5), one_in(in, 16) ? in.get<u32>() : 1);
    }
    }
}

/// One write into a ring page: an index, a packet's head, or anything.
void scribble(World& w, FuzzInput& in) {
    u64 const page = (kFirstRingPage + below(in, kRingPages)) << 12;
    switch (below(in, 4)) {
    case 0:
        w.ram.at<u32>(page + 4 * below(in, 4)) = one_in(in, 2) ? in.get<u32>() : below(in, 0x1000) & ~7u;
        break;
    case 1: w.ram.at<u32>(page + 64) = below(in, 2); break;
    case 2: {
        u16 const head[] = {static_cast<u16>(6 + below(in, 6)), static_cast<u16>(below(in, 6)),
                            static_cast<u16>(below(in, 300)), static_cast<u16>(below(in, 2))};
        std::memcpy(w.ram.raw(Gpa{page + 8 * below(in, 500)}), head, sizeof head);
        break;
    }
    default: {
        auto const bytes = bytes_from(in, below(in, 64));
        std::copy(bytes.begin(), bytes.end(), w.ram.raw(Gpa{page + below(in, 4000)}));
    }
    }
}

/// Clean rings under a fresh channel, as a driver would make them.
void open_properly(World& w, FuzzInput& in) {
    u32 const relid = 1 + below(in, 5), gpadl = 100 + relid;
    u64 const base = kFirstRingPage + 6 * (relid - 1);
    (void)w.guest.teardown(relid, gpadl);
    if (w.guest.create_gpadl(relid, gpadl, {base, base + 1, base + 2, base + 3, base + 4, base + 5}) != 0u)
        return;
    std::memset(w.ram.raw(Gpa::from_pfn(base)), 0, 6 * kPageBytes);
    (void)w.guest.try_post(bytes_of(OpenChannel{.relid = relid,
                                                .open_id = relid,
                                                .ring_gpadl = gpadl,
                                                .target_vp = below(in, kVps),
                                                .downstream_page_offset = 3}),
                           4);
}

/// A well-formed packet with any contents: the services must judge it.
void send_properly(World& w, FuzzInput& in) {
    u32 const relid = 1 + below(in, 5);
    u64 const base = kFirstRingPage + 6 * (relid - 1);
    GuestRing ring{w.ram, {base, base + 1, base + 2}};
    if (ring.write_index() >= ring.size() || ring.read_index() >= ring.size()) return;
    Bytes payload = bytes_from(in, below(in, 80));
    if (payload.size() > 28 && !one_in(in, 8)) {
        payload[25] = 5;                                              // an answer
        payload[12] = static_cast<u8>(below(in, 5)), payload[13] = 0; // of some type
        payload[24] = static_cast<u8>(below(in, 4));                  // to a recent request
    }
    bool signal = false;
    (void)ring.send(one_in(in, 8) ? 11 : 6, payload, below(in, 4), static_cast<u16>(below(in, 2)), signal);
    (void)w.guest.signal(relid | 2 << 12);
}

/// What hv_utils does with the oldest packet of a service's ring, or nearly so.
void answer_properly(World& w, FuzzInput& in) {
    u32 const relid = 3 + below(in, 3);
    u64 const base = kFirstRingPage + 6 * (relid - 1);
    GuestRing from{w.ram, {base + 3, base + 4, base + 5}}, to{w.ram, {base, base + 1, base + 2}};
    for (GuestRing* ring : {&from, &to}) {
        if (ring->write_index() >= ring->size() || ring->read_index() >= ring->size()) return;
    }
    auto const length8 = [&](u32 at) { return from.byte((from.read_index() + at) % from.size()); };
    if (from.used() < 64 || length8(2) != 2 || length8(3) != 0) return; // not one of the host's any more
    u32 const units = length8(4) + 256u * length8(5);
    if (units < 2 || units * 8 + 8 > from.used()) return;
    auto packet = *from.receive();
    Bytes& b = packet.payload;
    if (b.size() < 48) return;
    b[25] = 5;
    if (b[12] == 0) { // negotiation: take the first framework and one of the messages' versions
        b[28] = b[30] = 1;
        std::memcpy(&b[40], &b[44], 4);
    } else if (b[12] == 1) {
        ++b[28];
    }
    if (one_in(in, 8)) b[below(in, static_cast<u32>(b.size()))] = in.get<u8>();
    bool signal = false;
    (void)to.send(6, b, packet.transaction_id, 0, signal);
    (void)w.guest.signal(relid | 2 << 12);
}

void step(World& w, FuzzInput& in) {
    switch (below(in, 16)) {
    case 0:
    case 1:
    case 2: post_control(w, in); break;
    case 3:
    case 4: scribble(w, in); break;
    case 5: (void)w.guest.signal(one_in(in, 8) ? in.get<u32>() : (some_relid(in) & 0xfff) | 2 << 12); break;
    case 6: open_properly(w, in); break;
    case 7: send_properly(w, in); break;
    case 13:
    case 14: answer_properly(w, in); break;
    case 8: w.guest.take_interrupts(); break;
    case 9:
        w.clock.reference += u64{below(in, 8)} * 10'000'000;
        w.server.tick(w.clock.reference);
        break;
    case 10: {
        u64 const page = one_in(in, 8) ? below(in, kPages) : kFirstRingPage + below(in, kRingPages);
        if (one_in(in, 3)) {
            w.ram.balloon(page);
        } else {
            w.ram.give_back(page);
        }
        break;
    }
    case 11: {
        Device& device = one_in(in, 2) ? w.first : w.second;
        Bytes const payload(one_in(in, 4) ? below(in, kMaxPayloadBytes + 1) : below(in, 512), 1);
        if (device.sink != nullptr) (void)device.sink->send_inband(payload, 7);
        if (one_in(in, 4)) (void)w.shutdown.ask(ShutdownService::Kind::Reboot);
        break;
    }
    case 12:
        if (!one_in(in, 4)) break;
        if (w.first_on_bus) {
            REQUIRE_THAT(w.server.rescind(w.first));
            w.first_on_bus = false;
        } else {
            w.first_on_bus = w.server.add(w.first);
        }
        break;
    default:
        if (one_in(in, 16)) {
            w.server.reset();
            w.hv.reset();
            w.guest.forget();
            w.guest.boot();
            for (u32 vp = 0; vp < kVps; ++vp)
                w.guest.enable_synic(vp);
        }
        w.server.run_pending();
    }
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, size_t size) {
    World w;
    FuzzInput in{data, size};
    if (!one_in(in, 8)) {
        (void)w.guest.initiate_contact(version(5, 3));
        (void)w.guest.request_offers();
    }
    while (!in.empty()) {
        step(w, in);
        w.check();
    }
    w.server.reset();
    w.check();
    REQUIRE_THAT(w.server.gpadls().used_pages() == 0);
    REQUIRE_THAT(w.first.sink == nullptr && w.second.sink == nullptr);
    w.hv.reset();
    REQUIRE_THAT(w.hv.message_room() == hyperv::MessagePool::kMessages);
    return 0;
}
