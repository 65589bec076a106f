// SPDX-License-Identifier: Apache-2.0
// The Dynamic Memory protocol's messages as they stand in the ring: layouts and assertions only, shared with
// guest tools, tests and fuzzers. All counts and page numbers are in 4 KiB units. Source: Linux,
// drivers/hv/hv_balloon.c, "protocol versions" and message definitions (protocol 2.0).
#pragma once
#include "hv/base/bits.hpp"

namespace hv::dm::wire {
enum class Type : u16 {
    Error = 0,
    VersionRequest = 1,
    VersionResponse = 2,
    CapabilitiesReport = 3,
    CapabilitiesResponse = 4,
    StatusReport = 5,
    BalloonRequest = 6,
    BalloonResponse = 7,
    UnballoonRequest = 8,
    UnballoonResponse = 9,
    HotAddRequest = 10,
    HotAddResponse = 11,
    InfoMessage = 12,
};

inline constexpr u32 kVersion2_0 = 0x0002'0000, kVersion1_0 = 0x0001'0000, kVersion0_3 = 0x0000'0003;

struct Header {
    u16 type;
    u16 bytes; ///< of the whole message
    u32 transaction_id;
};
struct VersionRequest {
    Header header;
    u32 version;
    u32 flags; ///< bit 0: last attempt
};
struct Accepted { ///< VersionResponse, CapabilitiesResponse
    Header header;
    u64 flags; ///< bit 0: accepted
};
struct CapabilitiesReport {
    Header header;
    u64 flags; ///< bit 0 ballooning, 1 hot add, 5:2 alignment exponent (MiB)
    u64 minimum_pages;
    u64 maximum_page_number;
};
using HotAddAlignment = Bits<5, 2>;
struct StatusReport {
    Header header;
    u64 available_pages;
    u64 committed_pages;
    u64 page_file_bytes, zero_free_pages;
    u32 page_file_writes, io_difference;
};
struct BalloonRequest {
    Header header;
    u32 pages;
    u32 reserved;
};
/// Bits 39:0 first page number, 63:40 number of pages.
using RangeStart = Bits<39, 0>;
using RangePages = Bits<63, 40>;
struct RangesHead { ///< BalloonResponse: reserved, then flags; UnballoonRequest: flags, then range count
    Header header;
    u32 first;
    u32 second;
};
inline constexpr u32 kMaxRanges = 510; ///< in one message: the driver's buffer is 4096 bytes
struct HotAddRequest {
    Header header;
    u64 range;
    u64 region; ///< left out (16-byte form) for a later part of a region announced before
};
struct HotAddResponse {
    Header header;
    u32 pages;
    u32 result; ///< 1 success; 0 pages: 0 = later, 1 = never again
};
struct InfoMaxPages { ///< InfoMessage with its one item
    Header header;
    u32 reserved;
    u32 info_bytes;
    u32 item_type; ///< 0: maximum page count
    u32 item_bytes;
    u64 maximum_pages;
};
static_assert(sizeof(Header) == 8 && sizeof(VersionRequest) == 16 && sizeof(Accepted) == 16);
static_assert(sizeof(CapabilitiesReport) == 32 && sizeof(StatusReport) == 48 && sizeof(BalloonRequest) == 16);
static_assert(sizeof(RangesHead) == 16 && sizeof(HotAddRequest) == 24 && sizeof(HotAddResponse) == 16);
static_assert(sizeof(InfoMaxPages) == 32 && sizeof(RangesHead) + kMaxRanges * 8 == 4096);
} // namespace hv::dm::wire
