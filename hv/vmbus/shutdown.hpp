// SPDX-License-Identifier: Apache-2.0
// Asks the guest to power off or reboot in good order. What comes of it shows as the partition's own reset or
// power-off.
#pragma once
#include "hv/vmbus/integration_service.hpp"

namespace hv::vmbus {
class ShutdownService final : public IntegrationService {
  public:
    enum class Kind : u8 { PowerOff, Reboot };
    enum class Request : u8 {
        Sent,
        NotReady, ///< the guest has no driver for it
        Busy,     ///< a request is on its way
    };
    enum class Outcome : u8 {
        None, ///< not asked
        Waiting,
        Accepted,   ///< the guest is going down
        Refused,    ///< it said no: ask again or pull the plug
        Unanswered, ///< no answer within kPatience; a late one still counts
    };
    static constexpr u64 kPatience_100ns = 10 * 10'000'000;

    ShutdownService();
    /// Context: as ChannelSink::send_inband().
    Request ask(Kind kind);
    Outcome outcome() const { return outcome_; }

  private:
    struct [[gnu::packed]] Message {
        ic::Header header;
        ic::ShutdownBody body;
    };

    void started() override { outcome_ = Outcome::None; }
    void idle(u64 now_100ns) override;
    void still_waiting(u64 now_100ns) override;
    void answered(u32 status, std::span<u8 const> body) override;
    void stopped() override;
    bool send();

    Outcome outcome_ = Outcome::None;
    bool due_ = false;      ///< asked for, but the ring was full
    u64 waiting_since_ = 0; ///< reference time of the first tick that found us waiting; 0 = none yet
    Message message_{};     ///< too large for the stack
};
} // namespace hv::vmbus
