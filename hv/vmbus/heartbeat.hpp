// SPDX-License-Identifier: Apache-2.0
// Asks the guest every two seconds whether it is alive.
#pragma once
#include "hv/vmbus/integration_service.hpp"

namespace hv::vmbus {
class Heartbeat final : public IntegrationService {
  public:
    enum class Health : u8 {
        Unknown, ///< no driver, or not asked yet
        Alive,
        Lost, ///< a question has waited longer than kLostAfter
    };
    static constexpr u64 kPeriod_100ns = 2 * 10'000'000;
    static constexpr u64 kLostAfter_100ns = 3 * kPeriod_100ns;

    Heartbeat();
    Health health() const { return health_; }
    /// Questions answered since the driver came.
    u64 beats() const { return beats_; }

  private:
    void started() override {}
    void idle(u64 now_100ns) override;
    void still_waiting(u64 now_100ns) override;
    void answered(u32 status, std::span<u8 const> body) override;
    void stopped() override;

    Health health_ = Health::Unknown;
    bool asked_ = false;
    u64 asked_at_ = 0; ///< reference time
    u64 sequence_ = 0;
    u64 beats_ = 0;
};
} // namespace hv::vmbus
