// SPDX-License-Identifier: Apache-2.0
// VMBus control messages and ring layouts as they travel. Layouts and assertions only: tests, fuzzers and
// guest tools share them. Facts: the published Linux guest (include/linux/hyperv.h) and OpenVMM's protocol
// crate.
#pragma once
#include "hv/base/types.hpp"
#include "hv/vmbus/guid.hpp"
#include <cstddef>

namespace hv::vmbus {
// Transport ---------------------------------------------------------------------------------------------

inline constexpr u32 kMessageSint = 2;       ///< messages and events of VMBus
inline constexpr u32 kChannelMessage = 1;    ///< SynIC and PostMessage type of all control messages
inline constexpr u32 kMessageConnection = 4; ///< where the guest posts, versions from 5.0
inline constexpr u32 kOldMessageConnection = 1;
inline constexpr usize kMaxMessageBytes = 240;
inline constexpr u32 kMaxRelid = 2047; ///< relids double as event flag numbers; 0 is reserved

/// What a channel's driver passes to SignalEvent.
constexpr u32 event_connection(u32 relid) {
    return relid | kMessageSint << 12;
}
static_assert(event_connection(1) == 0x2001);

/// Versions are major << 16 | minor.
constexpr u32 version(u32 major, u32 minor) {
    return major << 16 | minor;
}
inline constexpr u32 kVersions[] = {version(5, 3), version(5, 2), version(5, 1), version(5, 0),
                                    version(4, 1), version(4, 0), version(3, 0), version(2, 4)};

// Control messages --------------------------------------------------------------------------------------

enum class MessageType : u32 {
    OfferChannel = 1,
    RescindOffer = 2,
    RequestOffers = 3,
    AllOffersDelivered = 4,
    OpenChannel = 5,
    OpenResult = 6,
    CloseChannel = 7,
    GpadlHeader = 8,
    GpadlBody = 9,
    GpadlCreated = 10,
    GpadlTeardown = 11,
    GpadlTorndown = 12,
    RelIdReleased = 13,
    InitiateContact = 14,
    VersionResponse = 15,
    Unload = 16,
    UnloadResponse = 17,
    TlConnectRequest = 21,
    ModifyChannel = 22,
    TlConnectResult = 23,
    ModifyChannelResponse = 24,
};

/// Status words of OpenResult, GpadlCreated and ModifyChannelResponse: 0, or an NTSTATUS.
inline constexpr u32 kStatusSuccess = 0;
inline constexpr u32 kStatusInvalidParameter = 0xc000'000d;
inline constexpr u32 kStatusInsufficientResources = 0xc000'009a;

struct MessageHeader {
    MessageType type;
    u32 reserved = 0;
};
static_assert(sizeof(MessageHeader) == 8);

struct OfferChannel {
    MessageHeader header{MessageType::OfferChannel};
    Guid interface_type;
    Guid instance;
    std::array<u8, 16> reserved0{};
    u16 flags = 0;
    u16 mmio_mib = 0;
    std::array<u8, 120> user_data{};
    u16 subchannel_index = 0;
    u16 reserved1 = 0;
    u32 relid = 0;
    u8 monitor_id = 0xff; ///< unused
    u8 monitor_allocated = 0;
    u16 dedicated_interrupt = 1; ///< the guest sets no bit in an interrupt page
    u32 connection_id = 0;
};
static_assert(sizeof(OfferChannel) == 196);
static_assert(offsetof(OfferChannel, flags) == 56 && offsetof(OfferChannel, user_data) == 60);
static_assert(offsetof(OfferChannel, relid) == 184 && offsetof(OfferChannel, dedicated_interrupt) == 190);

/// RescindOffer, CloseChannel, RelIdReleased.
struct RelidMessage {
    MessageHeader header;
    u32 relid;
};
static_assert(sizeof(RelidMessage) == 12);

struct OpenChannel {
    MessageHeader header{MessageType::OpenChannel};
    u32 relid;
    u32 open_id;
    u32 ring_gpadl;
    u32 target_vp;
    u32 downstream_page_offset; ///< pages of the guest→host ring; the rest is host→guest
    std::array<u8, 120> user_data{};
};
static_assert(sizeof(OpenChannel) == 148);

struct OpenResult {
    MessageHeader header{MessageType::OpenResult};
    u32 relid;
    u32 open_id;
    u32 status;
};
static_assert(sizeof(OpenResult) == 20);

/// Followed by the ranges: {u32 bytes, u32 offset, u64 pfn[]}.
struct GpadlHeader {
    MessageHeader header{MessageType::GpadlHeader};
    u32 relid;
    u32 gpadl;
    u16 range_bytes; ///< of all ranges, the page numbers in GpadlBody messages included
    u16 range_count;
    u32 byte_count; ///< first range
    u32 byte_offset;
};
static_assert(sizeof(GpadlHeader) == 28);
inline constexpr usize kRangeHeaderBytes = 8;

/// Followed by page numbers.
struct GpadlBody {
    MessageHeader header{MessageType::GpadlBody};
    u32 message_number;
    u32 gpadl;
};
static_assert(sizeof(GpadlBody) == 16);

struct GpadlCreated {
    MessageHeader header{MessageType::GpadlCreated};
    u32 relid;
    u32 gpadl;
    u32 status;
};
static_assert(sizeof(GpadlCreated) == 20);

struct GpadlTeardown {
    MessageHeader header{MessageType::GpadlTeardown};
    u32 relid;
    u32 gpadl;
};
static_assert(sizeof(GpadlTeardown) == 16);

struct GpadlTorndown {
    MessageHeader header{MessageType::GpadlTorndown};
    u32 gpadl;
};
static_assert(sizeof(GpadlTorndown) == 12);

struct InitiateContact {
    MessageHeader header{MessageType::InitiateContact};
    u32 version;
    u32 target_vp;
    u64 interrupt_page; ///< below 5.0; from 5.0 on: u8 SINT, u8 VTL, rest 0
    u64 monitor_page_1;
    u64 monitor_page_2;
};
static_assert(sizeof(InitiateContact) == 40);

struct VersionResponse {
    MessageHeader header{MessageType::VersionResponse};
    u8 supported = 0;
    u8 connection_state = 0; ///< 0 = success
    u16 reserved = 0;
    u32 message_connection = 0; ///< from 5.0; below: the selected version
};
static_assert(sizeof(VersionResponse) == 16);

struct ModifyChannel {
    MessageHeader header{MessageType::ModifyChannel};
    u32 relid;
    u32 target_vp;
};
static_assert(sizeof(ModifyChannel) == 16);

struct ModifyChannelResponse {
    MessageHeader header{MessageType::ModifyChannelResponse};
    u32 relid;
    u32 status;
};
static_assert(sizeof(ModifyChannelResponse) == 16);

// Rings -------------------------------------------------------------------------------------------------

/// Start of a ring's first page; data follow from the second page on.
struct RingHeader {
    u32 write_index;       ///< byte offset into the data; the producer's
    u32 read_index;        ///< the consumer's
    u32 interrupt_mask;    ///< the consumer's: 1 = do not signal me
    u32 pending_send_size; ///< the producer's: blocked until this many bytes are free
    std::array<u32, 12> reserved;
    u32 feature_bits; ///< bit 0: pending_send_size is used
};
static_assert(offsetof(RingHeader, feature_bits) == 64);
inline constexpr u32 kFeaturePendingSendSize = 1;

enum class PacketType : u16 { InBand = 6, TransferPages = 7, GpadlData = 8, GpaDirect = 9, Completion = 11 };
inline constexpr u16 kCompletionRequested = 1;

struct PacketDescriptor {
    PacketType type;
    u16 data_offset8;  ///< of the payload, in 8-byte units
    u16 total_length8; ///< descriptor and payload, without the trailer
    u16 flags;
    u64 transaction_id;
};
static_assert(sizeof(PacketDescriptor) == 16);
inline constexpr u32 kPacketTrailerBytes = 8; ///< the packet's start index << 32
} // namespace hv::vmbus
