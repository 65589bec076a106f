// SPDX-License-Identifier: Apache-2.0
// A partition's clock, processors and interrupts, by hand.
#pragma once
#include "hv/core/interrupt_sink.hpp"
#include "hv/platform/apic_bus.hpp"
#include <string>
#include <vector>

namespace hv::test {
struct FakeClock : PartitionClock {
    u64 hz = 1'000'000'000;
    u64 tsc = 1000;
    u64 wall = 0;
    u64 reference = 0;
    u64 guest_tsc() const override { return tsc; }
    u64 tsc_hz() const override { return hz; }
    u64 reference_time() const override { return reference; }
    u64 wall_clock() const override { return wall; }
};

/// Writes down what it was told: "irq 0", "nmi 1", "init 2", "sipi 3 12".
struct FakeProcessors : platform::ProcessorEvents {
    std::vector<std::string> log;
    void interrupt_pending(u32 vp) override { log.push_back("irq " + std::to_string(vp)); }
    void nmi(u32 vp) override { log.push_back("nmi " + std::to_string(vp)); }
    void init(u32 vp) override { log.push_back("init " + std::to_string(vp)); }
    void start_up(u32 vp, u8 vector) override {
        log.push_back("sipi " + std::to_string(vp) + " " + std::to_string(vector));
    }
};
} // namespace hv::test
