// SPDX-License-Identifier: Apache-2.0
// Processors with a local APIC each, and a clock that stands until it is moved.
#pragma once
#include "fakes.hpp"
#include "hv/platform/interrupt_fabric.hpp"
#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

namespace hv::test {
using namespace hv::platform;
using apic::Register;

constexpr u32 msr(Register r) {
    return 0x800 + static_cast<u32>(r);
}
constexpr u32 offset(Register r) {
    return static_cast<u32>(r) * 16;
}

struct ApicBed {
    FakeClock clock;
    FakeProcessors processors;
    std::array<LocalApic*, 20> slots{};
    InterruptFabric fabric{slots, processors};
    std::vector<std::unique_ptr<LocalApic>> apics;

    explicit ApicBed(u32 count = 1, bool x2apic = true) {
        for (u32 i = 0; i < count; ++i) {
            apics.push_back(
                std::make_unique<LocalApic>(LocalApic::Identity{i, i, i == 0, 100'000'000}, fabric, clock));
            fabric.add(*apics[i]);
            if (x2apic) {
                REQUIRE(apics[i]->write_apic_base(apics[i]->apic_base() | 0x400));
                write(Register::SpuriousVector, 0x1ff, i);
            } else {
                apics[i]->write_mmio(0xf0, 4, 0x1ff);
            }
        }
    }
    LocalApic& operator[](u32 i) { return *apics[i]; }
    void write(Register r, u64 value, u32 i = 0) { REQUIRE(apics[i]->write_msr(msr(r), value)); }
    bool refuses(Register r, u64 value) { return !apics[0]->write_msr(msr(r), value); }
    u64 read(Register r, u32 i = 0) {
        u64 value = ~0ull;
        REQUIRE(apics[i]->read_msr(msr(r), value));
        return value;
    }
    /// Lets time pass to the next deadline and fires it.
    void next_deadline(u32 i = 0) {
        REQUIRE(apics[i]->next_deadline() != kNever);
        clock.tsc = apics[i]->next_deadline();
        apics[i]->on_time(clock.tsc);
    }
};
} // namespace hv::test
