// SPDX-License-Identifier: Apache-2.0
// Ring indices, copies, and who signals whom.
#include "hv/vmbus/ring.hpp"
#include <algorithm>
#include <cstring>

namespace hv::vmbus {
namespace {
u32 load(u32 const& field) {
    return __atomic_load_n(&field, __ATOMIC_ACQUIRE);
}
void publish_field(u32& field, u32 value) {
    __atomic_store_n(&field, value, __ATOMIC_RELEASE);
}
/// Between a store of ours and a load of the guest's field: neither side may miss the other's.
void full_barrier() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
} // namespace

RingHeader* RingPages::header() const {
    auto const page = memory_->page(Gpa::from_pfn(pfns_[0]));
    return page.ok() ? reinterpret_cast<RingHeader*>(page.value()) : nullptr;
}

template <class Bytes, class Copy>
bool RingPages::copy(u32 offset, std::span<Bytes> bytes, Copy one_piece) const {
    while (!bytes.empty()) {
        Gpa const at = Gpa::from_pfn(pfns_[1 + offset / kPageBytes]) + offset % kPageBytes;
        usize const piece = std::min<usize>(bytes.size(), kPageBytes - offset % kPageBytes);
        if (!one_piece(at, bytes.first(piece))) return false;
        bytes = bytes.subspan(piece);
        offset = advance(offset, static_cast<u32>(piece));
    }
    return true;
}

bool RingPages::copy_out(u32 offset, std::span<u8> to) const {
    return copy(offset, to, [this](Gpa at, std::span<u8> piece) { return memory_->read(at, piece).ok(); });
}

bool RingPages::copy_in(u32 offset, std::span<u8 const> from) const {
    return copy(offset, from,
                [this](Gpa at, std::span<u8 const> piece) { return memory_->write(at, piece).ok(); });
}

// Incoming ----------------------------------------------------------------------------------------------

RingStatus IncomingRing::attach(RingPages const& pages) {
    pages_ = pages;
    RingHeader const* const header = pages_.header();
    if (header == nullptr) return RingStatus::Corrupt;
    read_ = published_ = load(header->read_index);
    return pages_.valid(read_) ? RingStatus::Ok : RingStatus::Corrupt;
}

RingStatus IncomingRing::read(std::span<u8> buffer, PacketDescriptor& descriptor,
                              std::span<u8 const>& payload) {
    RingHeader const* const header = pages_.header();
    if (header == nullptr) return RingStatus::Corrupt;
    u32 const write = load(header->write_index);
    if (!pages_.valid(write)) return RingStatus::Corrupt;
    u32 const available = pages_.distance(read_, write);
    if (available == 0) return RingStatus::Empty;
    if (available < sizeof descriptor + kPacketTrailerBytes ||
        !pages_.copy_out(read_, std::span{reinterpret_cast<u8*>(&descriptor), sizeof descriptor})) {
        return RingStatus::Corrupt;
    }
    u32 const total = descriptor.total_length8 * 8u;
    u32 const payload_at = descriptor.data_offset8 * 8u;
    if (payload_at < sizeof descriptor || payload_at > total || total + kPacketTrailerBytes > available ||
        total - payload_at > buffer.size()) {
        return RingStatus::Corrupt;
    }
    auto const to = buffer.first(total - payload_at);
    if (!pages_.copy_out(pages_.advance(read_, payload_at), to)) return RingStatus::Corrupt;
    payload = to;
    read_ = pages_.advance(read_, total + kPacketTrailerBytes);
    return RingStatus::Ok;
}

bool IncomingRing::publish() {
    if (read_ == published_) return false;
    u32 const before = published_;
    published_ = read_;
    RingHeader* const header = pages_.header();
    if (header == nullptr) return false; // the next read() finds it and ends the channel
    publish_field(header->read_index, read_);
    full_barrier();
    u32 const pending = load(header->pending_send_size);
    u32 const write = load(header->write_index);
    if (pending == 0 || (load(header->feature_bits) & kFeaturePendingSendSize) == 0 || !pages_.valid(write)) {
        return false;
    }
    // A blocked producer is signalled once, by the read that takes the free space past what it waits for.
    u32 const free_before = pages_.data_bytes() - pages_.distance(before, write);
    u32 const free_now = pages_.data_bytes() - pages_.distance(read_, write);
    return free_before <= pending && free_now > pending;
}

void IncomingRing::set_mask(bool masked) {
    RingHeader* const header = pages_.header();
    if (header == nullptr) return;
    publish_field(header->interrupt_mask, masked ? 1 : 0);
    full_barrier();
}

bool IncomingRing::empty() const {
    RingHeader const* const header = pages_.header();
    return header != nullptr && load(header->write_index) == read_;
}

// Outgoing ----------------------------------------------------------------------------------------------

RingStatus OutgoingRing::attach(RingPages const& pages) {
    pages_ = pages;
    blocked_bytes_ = 0;
    RingHeader const* const header = pages_.header();
    if (header == nullptr) return RingStatus::Corrupt;
    write_ = load(header->write_index);
    return pages_.valid(write_) && pages_.valid(load(header->read_index)) ? RingStatus::Ok
                                                                          : RingStatus::Corrupt;
}

RingStatus OutgoingRing::room(RingHeader const& header, u32 bytes) const {
    u32 const read = load(header.read_index);
    if (!pages_.valid(read)) return RingStatus::Corrupt;
    u32 const free = pages_.data_bytes() - pages_.distance(read, write_);
    return free > bytes ? RingStatus::Ok : RingStatus::Full; // equal would look empty
}

RingStatus OutgoingRing::write(PacketType type, std::span<u8 const> payload, u64 transaction_id,
                               bool& signal) {
    signal = false;
    RingHeader* const header = pages_.header();
    if (header == nullptr) return RingStatus::Corrupt;
    u32 const total = static_cast<u32>(sizeof(PacketDescriptor) + align_up(payload.size(), 8));
    u32 const bytes = total + kPacketTrailerBytes;
    RingStatus status = room(*header, bytes);
    if (status == RingStatus::Full) {
        // Ask to be told, then look again: the guest may have read between our look and our asking.
        publish_field(header->pending_send_size, bytes);
        full_barrier();
        status = room(*header, bytes);
        blocked_bytes_ = bytes;
    }
    if (status != RingStatus::Ok) return status;
    if (blocked_bytes_ != 0) {
        blocked_bytes_ = 0;
        publish_field(header->pending_send_size, 0);
    }

    PacketDescriptor const descriptor{type, sizeof descriptor / 8, static_cast<u16>(total / 8), 0,
                                      transaction_id};
    std::array<u8, 7 + kPacketTrailerBytes> tail{}; // padding, then the trailer
    usize const padding = align_up(payload.size(), 8) - payload.size();
    u64 const trailer = u64{write_} << 32;
    std::memcpy(tail.data() + padding, &trailer, sizeof trailer);
    u32 const payload_at = pages_.advance(write_, sizeof descriptor);
    u32 const tail_at = pages_.advance(payload_at, static_cast<u32>(payload.size()));
    if (!pages_.copy_in(write_, std::span{reinterpret_cast<u8 const*>(&descriptor), sizeof descriptor}) ||
        !pages_.copy_in(payload_at, payload) ||
        !pages_.copy_in(tail_at, std::span{tail}.first(padding + sizeof trailer))) {
        return RingStatus::Corrupt;
    }
    u32 const old_write = write_;
    write_ = pages_.advance(write_, bytes);
    publish_field(header->write_index, write_);
    full_barrier();
    signal = load(header->interrupt_mask) == 0 && load(header->read_index) == old_write;
    return RingStatus::Ok;
}

bool OutgoingRing::room_again() {
    RingHeader* const header = blocked() ? pages_.header() : nullptr;
    if (header == nullptr) return false;
    if (room(*header, blocked_bytes_) == RingStatus::Full)
        return false; // Corrupt: let the next write find it
    publish_field(header->pending_send_size, 0);
    blocked_bytes_ = 0;
    return true;
}
} // namespace hv::vmbus
