// SPDX-License-Identifier: Apache-2.0
// An interrupt sink that remembers, and a clock that stands until told.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include <algorithm>
#include <utility>
#include <vector>

namespace hv::test {
class RecordingInterrupts final : public InterruptSink {
  public:
    void raise(u32 vp_index, u8 vector) override { raised.emplace_back(vp_index, vector); }
    /// Takes all pending interrupts of one kind, as an APIC would merge them. @return how many there were
    usize take(u32 vp_index, u8 vector) {
        auto const before = raised.size();
        std::erase(raised, std::pair{vp_index, vector});
        return before - raised.size();
    }
    std::vector<std::pair<u32, u8>> raised;
};

class ManualClock final : public PartitionClock {
  public:
    u64 guest_tsc() const override { return reference * (hz / 10'000'000); }
    u64 tsc_hz() const override { return hz; }
    u64 reference_time() const override { return reference; }
    u64 wall_clock() const override { return wall; }

    u64 hz = 2'000'000'000;
    u64 reference = 1'000'000; ///< 100 ns
    u64 wall = 134'000'000'000'000'000;
};
} // namespace hv::test
