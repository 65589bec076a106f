// SPDX-License-Identifier: Apache-2.0
// Where the guest's posted messages and signalled events go: the hypercall layer knows connection ids only,
// VMBus gives them a meaning.
#pragma once
#include "hv/hyperv/hyperv_abi.hpp"
#include <span>
#include <string_view>

namespace hv::hyperv {
/// Takes HvCallPostMessage.
class PostSink {
  public:
    virtual ~PostSink() = default;
    /// @param payload at most 240 bytes, a copy the guest cannot change. Not kept after the call.
    /// @return the hypercall's status: InvalidConnectionId for an id nobody owns, InsufficientBuffers for
    /// "try again later".
    virtual HypercallStatus post(u32 vp_index, u32 connection_id, u32 message_type,
                                 std::span<u8 const> payload) = 0;
};

/// Takes HvCallSignalEvent.
class EventSink {
  public:
    virtual ~EventSink() = default;
    virtual HypercallStatus signal(u32 vp_index, u32 connection_id, u16 flag) = 0;
};

/// What a guest reported through the crash MSRs.
struct CrashReport {
    std::array<u64, 5> parameters{}; ///< CRASH_P0 … P4
    /// The end of the guest's log as one line, cleaned of control characters; empty when it gave none. Dies
    /// with the call.
    std::string_view text;
};

/// Told of a guest's panic. The guest chooses how often: limit what is printed.
class CrashSink {
  public:
    virtual ~CrashSink() = default;
    virtual void guest_crashed(CrashReport const& report) = 0;
};
} // namespace hv::hyperv
