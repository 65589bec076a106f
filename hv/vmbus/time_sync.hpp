// SPDX-License-Identifier: Apache-2.0
// Gives the guest the time of day: set once when its driver comes (or when asked, as after a pause), then
// samples that its clock discipline may use.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/vmbus/integration_service.hpp"

namespace hv::vmbus {
class TimeSync final : public IntegrationService {
  public:
    static constexpr u64 kSamplePeriod_100ns = 5 * 10'000'000;

    explicit TimeSync(PartitionClock const& clock);
    /// The next message sets the guest's clock instead of hinting.
    void request_set() { set_due_ = true; }

  private:
    void started() override { idle(clock_.reference_time()); }
    void idle(u64 now_100ns) override;
    void still_waiting(u64) override {}
    void answered(u32, std::span<u8 const>) override {}
    void stopped() override { set_due_ = true; }
    template <class Body>
    bool send(Body const& body);

    PartitionClock const& clock_;
    bool set_due_ = true;
    u64 sent_at_ = 0; ///< reference time
};
} // namespace hv::vmbus
