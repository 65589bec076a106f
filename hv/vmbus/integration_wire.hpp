// SPDX-License-Identifier: Apache-2.0
// Framing of the integration services (heartbeat, shutdown, time synchronisation). The guest answers by
// rewriting the request in place and sending it back. Facts: Linux, include/linux/hyperv.h and
// drivers/hv/hv_util.c; OpenVMM, hyperv_ic_protocol.
#pragma once
#include "hv/base/types.hpp"
#include <array>

namespace hv::vmbus::ic {
struct Version {
    u16 major, minor;
    constexpr bool operator==(Version const&) const = default;
};

enum class MessageType : u16 { Negotiate = 0, Heartbeat = 1, Shutdown = 3, TimeSync = 4 };
namespace flag {
inline constexpr u8 kTransaction = 1, kRequest = 2, kResponse = 4;
}
inline constexpr u32 kPipeData = 1;

/// Before every message.
struct [[gnu::packed]] Header {
    u32 pipe_type = kPipeData; ///< pipe header
    u32 pipe_bytes = 0;        ///< of all that follows the pipe header
    Version framework{};
    MessageType type{};
    Version message{};
    u16 body_bytes = 0;
    u32 status = 0; ///< 0, or an HRESULT
    u8 transaction_id = 0;
    u8 flags = 0;
    u16 reserved = 0;
};
static_assert(sizeof(Header) == 28);

/// Followed by the versions: first of the framework, then of the messages.
struct [[gnu::packed]] NegotiateBody {
    u16 framework_count, message_count;
    u32 reserved;
};
static_assert(sizeof(NegotiateBody) == 8);

struct [[gnu::packed]] HeartbeatBody {
    u64 sequence;
    std::array<u8, 32> reserved{};
};
static_assert(sizeof(HeartbeatBody) == 40);

struct [[gnu::packed]] ShutdownBody {
    u32 reason;
    u32 timeout_s;
    u32 flags; ///< see below
    std::array<u8, 2048> text{};
};
static_assert(sizeof(Header) + sizeof(ShutdownBody) == 28 + 2060); // Linux drops anything shorter
inline constexpr u32 kShutdownPowerOff = 0, kShutdownReboot = 2;
inline constexpr u32 kShutdownPlanned = 0x8000'0000;

struct [[gnu::packed]] TimeSyncBody { // message versions below 4.0
    u64 parent_time;                  ///< 100 ns since 1601-01-01 UTC
    u64 child_time;
    u64 round_trip_time;
    u8 flags;
};
static_assert(sizeof(TimeSyncBody) == 25);
struct [[gnu::packed]] TimeSyncBody4 {
    u64 parent_time;
    u64 reference_time; ///< partition reference time at which parent_time was read
    u8 flags;
    u8 leap;
    u8 stratum;
    std::array<u8, 3> reserved{};
};
static_assert(sizeof(TimeSyncBody4) == 22);
inline constexpr u8 kTimeSyncSet = 1, kTimeSyncSample = 2;
} // namespace hv::vmbus::ic
