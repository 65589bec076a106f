// SPDX-License-Identifier: Apache-2.0
// A scripted guest that uses the Hyper-V interface the way Linux 6.1 does: same registers in the same order,
// acts on interrupts only, never polls. A signal that the host forgets is therefore a hang, seen as a missing
// answer.
#pragma once
#include "hv/hyperv/hyperv_interface.hpp"
#include "tests/fakes/interrupts_and_clock.hpp"
#include "tests/fakes/linux_guest_ring.hpp"
#include <deque>
#include <functional>
#include <map>

namespace hv::test {
using Bytes = std::vector<u8>;

template <class T>
Bytes bytes_of(T const& object) {
    auto const* const at = reinterpret_cast<u8 const*>(&object);
    return {at, at + sizeof object};
}
template <class T>
T from_bytes(std::span<u8 const> bytes, usize offset = 0) {
    T object{};
    if (offset + sizeof object <= bytes.size()) std::memcpy(&object, &bytes[offset], sizeof object);
    return object;
}

/// An open channel as its driver sees it.
struct GuestChannel {
    u32 relid = 0, gpadl = 0, connection = 0;
    GuestRing to_host, to_guest;
    std::vector<u64> pfns;
    std::deque<GuestPacket> received;
    bool driver_reads = true; ///< false: a driver too busy to read
};

class LinuxGuest {
  public:
    static constexpr u8 kVmbusVector = 0xf3;
    static constexpr u64 kHypercallPage = 1, kTscPage = 2, kInputPage = 3, kFirstSynicPage = 0x10;
    u64 next_free_page = 0x40;

    LinuxGuest(hyperv::HypervInterface& host, FlatGuestRam& guest_ram, RecordingInterrupts& irqs)
        : hv{host}, ram{guest_ram}, interrupts{irqs} {}

    u64 read_msr(u32 index, u32 vp = 0) {
        u64 value = 0;
        ok = ok && hv.read_msr(vp, index, value) == hyperv::MsrResult::Handled;
        return value;
    }
    void write_msr(u32 index, u64 value, u32 vp = 0) {
        ok = ok && hv.write_msr(vp, index, value) == hyperv::MsrResult::Handled;
    }

    /// A new kernel that knows nothing of the old one's channels.
    void forget() {
        messages.clear(), other_messages.clear(), timer_messages.clear(), channels.clear();
        interrupts.raised.clear();
    }
    /// Early boot: reference TSC, assist page, identity, hypercall page.
    void boot() {
        write_msr(0x4000'0118, 1);
        write_msr(0x4000'0021, (read_msr(0x4000'0021) & 0xffe) | kTscPage << 12 | 1);
        (void)read_msr(0x4000'0002);
        write_msr(0x4000'0073, 0x30ull << 12 | 1);
        write_msr(0x4000'0000, 0x8100ull << 48 | 0x6'01'00ull << 16);
        write_msr(0x4000'0001, (read_msr(0x4000'0001) & 0xfff) | kHypercallPage << 12 | 1);
        ok = ok && (read_msr(0x4000'0001) & 1) != 0;
    }
    /// hv_vmbus loads: hv_synic_enable_regs() on one processor.
    void enable_synic(u32 vp = 0) {
        write_msr(0x4000'0083, (read_msr(0x4000'0083, vp) & 0xffe) | simp(vp) << 12 | 1, vp);
        write_msr(0x4000'0082, (read_msr(0x4000'0082, vp) & 0xffe) | siefp(vp) << 12 | 1, vp);
        write_msr(0x4000'0092, kVmbusVector, vp);
        write_msr(0x4000'0080, read_msr(0x4000'0080, vp) | 1, vp);
    }
    static constexpr u64 simp(u32 vp) { return kFirstSynicPage + 2 * vp; }
    static constexpr u64 siefp(u32 vp) { return kFirstSynicPage + 2 * vp + 1; }

    u16 try_post(std::span<u8 const> message, u32 connection, u32 type = 1, u32 vp = 0) {
        u64 const at = kInputPage << 12;
        ram.at<u32>(at) = connection;
        ram.at<u32>(at + 4) = 0;
        ram.at<u32>(at + 8) = type;
        ram.at<u32>(at + 12) = static_cast<u32>(message.size());
        std::copy_n(message.data(), std::min<usize>(message.size(), 4080), ram.raw(Gpa{at + 16}));
        return static_cast<u16>(hv.hypercall(vp, 0x5c, at, 0).value);
    }
    /// With Linux's retries; the interrupts taken between them free the message slot.
    u16 post(std::span<u8 const> message) {
        u16 status = 0;
        for (int i = 0; i < 100; ++i) {
            status = try_post(message, message_connection);
            if (status != 11 && status != 19) break;
            take_interrupts();
        }
        return status;
    }
    template <class Message>
    u16 post_struct(Message const& message) {
        return post(bytes_of(message));
    }
    u16 signal(u32 connection) { return static_cast<u16>(hv.hypercall(0, 0x1'005d, connection, 0).value); }

    /// vmbus_isr() for as long as the interrupt comes.
    void take_interrupts() {
        for (u32 vp = 0; vp < hv.vp_count(); ++vp) {
            while (interrupts.take(vp, kVmbusVector) != 0) {
                take_events(vp);
                take_message(vp);
            }
        }
    }
    /// The next message of @p type within what has arrived; others before it are kept in `other_messages`.
    std::optional<Bytes> wait_for(vmbus::MessageType type) {
        take_interrupts();
        while (!messages.empty()) {
            Bytes const message = messages.front();
            messages.pop_front();
            if (from_bytes<u32>(message) == static_cast<u32>(type)) return message;
            other_messages.push_back(message);
        }
        return {};
    }

    std::optional<vmbus::VersionResponse> initiate_contact(u32 version, u32 target_vp = 0) {
        message_connection = version >= 0x5'0000 ? 4 : 1;
        u64 const page = version >= 0x5'0000 ? 2 : 0x31'000;
        post_struct(vmbus::InitiateContact{
            {vmbus::MessageType::InitiateContact}, version, target_vp, page, 0x32'000, 0x33'000});
        auto const answer = wait_for(vmbus::MessageType::VersionResponse);
        if (!answer || answer->size() < sizeof(vmbus::VersionResponse)) return {};
        auto const response = from_bytes<vmbus::VersionResponse>(*answer);
        if (response.supported != 0 && version >= 0x5'0000) {
            message_connection = response.message_connection;
        }
        return response;
    }
    std::vector<vmbus::OfferChannel> request_offers() {
        post_struct(vmbus::MessageHeader{vmbus::MessageType::RequestOffers});
        other_messages.clear();
        ok = ok && wait_for(vmbus::MessageType::AllOffersDelivered).has_value();
        std::vector<vmbus::OfferChannel> offers;
        for (Bytes const& message : other_messages) {
            if (message.size() >= 196 && from_bytes<u32>(message) == 1) {
                offers.push_back(from_bytes<vmbus::OfferChannel>(message));
            }
        }
        return offers;
    }

    /// GpadlHeader and bodies for scattered pages. @return the creation status, empty when it never came
    std::optional<u32> create_gpadl(u32 relid, u32 gpadl, std::vector<u64> const& pfns) {
        usize const in_header = std::min<usize>(pfns.size(), 26);
        Bytes header = bytes_of(vmbus::GpadlHeader{.relid = relid,
                                                   .gpadl = gpadl,
                                                   .range_bytes = static_cast<u16>(8 + 8 * pfns.size()),
                                                   .range_count = 1,
                                                   .byte_count = static_cast<u32>(4096 * pfns.size()),
                                                   .byte_offset = 0});
        append(header, std::span{pfns}.first(in_header));
        post(header);
        for (usize done = in_header; done < pfns.size();) {
            usize const n = std::min<usize>(pfns.size() - done, 28);
            Bytes body = bytes_of(vmbus::GpadlBody{.message_number = 0, .gpadl = gpadl});
            append(body, std::span{pfns}.subspan(done, n));
            post(body);
            done += n;
        }
        auto const answer = wait_for(vmbus::MessageType::GpadlCreated);
        if (!answer) return {};
        auto const created = from_bytes<vmbus::GpadlCreated>(*answer);
        ok = ok && created.relid == relid && created.gpadl == gpadl;
        return created.status;
    }
    /// vmbus_open() with rings of @p pages each. The pages are handed out in falling order, so that nothing
    /// works by contiguity.
    GuestChannel* open(vmbus::OfferChannel const& offer, u32 pages, u32 target_vp = 0) {
        std::vector<u64> pfns;
        for (u32 i = 0; i < 2 * pages; ++i) {
            pfns.push_back(next_free_page + 2 * pages - 1 - i);
        }
        next_free_page += 2 * pages;
        u32 const gpadl = next_gpadl++;
        if (create_gpadl(offer.relid, gpadl, pfns) != 0u) return nullptr;
        auto const middle = pfns.begin() + pages;
        channels.erase(offer.relid);
        auto const [at, fresh] =
            channels.emplace(offer.relid, GuestChannel{offer.relid,
                                                       gpadl,
                                                       offer.connection_id,
                                                       GuestRing{ram, {pfns.begin(), middle}},
                                                       GuestRing{ram, {middle, pfns.end()}},
                                                       pfns,
                                                       {},
                                                       true});
        GuestChannel& channel = at->second;
        channel.to_host.zero();
        channel.to_guest.zero();
        return reopen(channel, target_vp) == 0u ? &channel : nullptr;
    }
    std::optional<u32> reopen(GuestChannel& channel, u32 target_vp = 0) {
        post_struct(
            vmbus::OpenChannel{.relid = channel.relid,
                               .open_id = channel.relid,
                               .ring_gpadl = channel.gpadl,
                               .target_vp = target_vp,
                               .downstream_page_offset = static_cast<u32>(channel.to_host.pfns().size())});
        auto const answer = wait_for(vmbus::MessageType::OpenResult);
        if (!answer) return {};
        return from_bytes<vmbus::OpenResult>(*answer).status;
    }
    void close_only(GuestChannel& channel) {
        post_struct(vmbus::RelidMessage{{vmbus::MessageType::CloseChannel}, channel.relid});
    }
    bool teardown(u32 relid, u32 gpadl) {
        post_struct(vmbus::GpadlTeardown{.relid = relid, .gpadl = gpadl});
        auto const answer = wait_for(vmbus::MessageType::GpadlTorndown);
        return answer && from_bytes<vmbus::GpadlTorndown>(*answer).gpadl == gpadl;
    }
    bool close(GuestChannel& channel) {
        u32 const relid = channel.relid, gpadl = channel.gpadl;
        close_only(channel);
        bool const down = teardown(relid, gpadl);
        channels.erase(relid);
        return down;
    }
    bool unload() {
        post_struct(vmbus::MessageHeader{vmbus::MessageType::Unload});
        return wait_for(vmbus::MessageType::UnloadResponse).has_value();
    }

    bool send(GuestChannel& channel, std::span<u8 const> payload, u64 tid = 0, u16 flags = 0, u16 type = 6) {
        bool wants_signal = false;
        if (!channel.to_host.send(type, payload, tid, flags, wants_signal)) return false;
        if (wants_signal) ok = ok && signal(channel.connection) == 0;
        return true;
    }
    /// Reads all there is, in Linux's batched mode, with the producer-side signal of hv_pkt_iter_close().
    void read_channel(GuestChannel& channel) {
        GuestRing& ring = channel.to_guest;
        do {
            ring.interrupt_mask() = 1;
            u32 const free_before = ring.size() - ring.used();
            while (auto packet = ring.receive()) {
                channel.received.push_back(*packet);
                if (on_packet) on_packet(channel, *packet);
            }
            u32 const free_now = ring.size() - ring.used();
            u32 const pending = ring.pending_send_size();
            ring.interrupt_mask() = 0;
            if (pending != 0 && free_before <= pending && free_now > pending) signal(channel.connection);
        } while (ring.used() != 0);
    }

    hyperv::HypervInterface& hv;
    FlatGuestRam& ram;
    RecordingInterrupts& interrupts;
    bool ok = true; ///< no MSR faulted, no expected message was missing
    u32 message_connection = 4;
    u32 next_gpadl = 0xe1e10;
    std::deque<Bytes> messages;
    std::vector<Bytes> other_messages;
    std::vector<hyperv::TimerMessage> timer_messages;
    std::map<u32, GuestChannel> channels; ///< by relid
    std::function<void(GuestChannel&, GuestPacket const&)> on_packet;

  private:
    static void append(Bytes& message, std::span<u64 const> pfns) {
        for (u64 pfn : pfns) {
            Bytes const bytes = bytes_of(pfn);
            message.insert(message.end(), bytes.begin(), bytes.end());
        }
    }
    void take_events(u32 vp) {
        u8* const flags = ram.raw(Gpa{(siefp(vp) << 12) + 0x200});
        for (u32 relid = 1; relid < 2048; ++relid) {
            u8 const bit = static_cast<u8>(1u << relid % 8);
            if ((flags[relid / 8] & bit) == 0) continue;
            flags[relid / 8] = static_cast<u8>(flags[relid / 8] & ~bit);
            auto const channel = channels.find(relid);
            if (channel != channels.end() && channel->second.driver_reads) read_channel(channel->second);
        }
    }
    void take_message(u32 vp) {
        u64 const slot = (simp(vp) << 12) + 0x200;
        u32 const type = ram.at<u32>(slot);
        if (type == 0) return;
        u8 const size = ram.at<u8>(slot + 4);
        Bytes const payload(ram.raw(Gpa{slot + 16}), ram.raw(Gpa{slot + 16}) + size);
        if (type == 1) messages.push_back(payload);
        if (type == hyperv::kTimerExpiredMessage) {
            timer_messages.push_back(from_bytes<hyperv::TimerMessage>(payload));
        }
        bool const more = (ram.at<u8>(slot + 5) & 1) != 0;
        ram.at<u32>(slot) = 0;
        if (more) write_msr(0x4000'0084, 0, vp);
    }
};
} // namespace hv::test
