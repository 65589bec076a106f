// SPDX-License-Identifier: Apache-2.0
// A partition of fakes around a HypervInterface, with sinks that record.
#pragma once
#include "hv/hyperv/hyperv_interface.hpp"
#include "tests/fakes/flat_guest_ram.hpp"
#include "tests/fakes/interrupts_and_clock.hpp"
#include <catch2/catch.hpp>
#include <cstring>
#include <string>

namespace hv::test {
using namespace hv::hyperv;

struct RecordingSinks final : PostSink, EventSink, CrashSink {
    struct Post {
        u32 vp, connection, type;
        std::vector<u8> payload;
        bool operator==(Post const&) const = default;
    };
    struct Event {
        u32 vp, connection;
        u16 flag;
        bool operator==(Event const&) const = default;
    };
    HypercallStatus post(u32 vp, u32 connection, u32 type, std::span<u8 const> payload) override {
        posts.push_back({vp, connection, type, {payload.begin(), payload.end()}});
        return answer;
    }
    HypercallStatus signal(u32 vp, u32 connection, u16 flag) override {
        events.push_back({vp, connection, flag});
        return answer;
    }
    void guest_crashed(CrashReport const& report) override {
        crashes.emplace_back(report.text);
        parameters = report.parameters;
    }
    HypercallStatus answer = HypercallStatus::Success;
    std::vector<Post> posts;
    std::vector<Event> events;
    std::vector<std::string> crashes;
    std::array<u64, 5> parameters{};
};

struct Partition {
    static constexpr u64 kRamPages = 64;
    FlatGuestRam ram{kRamPages};
    RecordingInterrupts interrupts;
    ManualClock clock;
    RecordingSinks sinks;
    std::array<HypervVp, 2> vps;
    HypervInterface hv{{.memory = ram,
                        .interrupts = interrupts,
                        .clock = clock,
                        .vps = vps,
                        .hypercall_instruction = {0x0f, 0x01, 0xd9},
                        .apic_hz = 1'000'000'000,
                        .guest_physical_bits = 39,
                        .crash_sink = &sinks}};

    Partition() { hv.connect(sinks, sinks); }

    MsrResult write(u32 index, u64 value, u32 vp = 0) { return hv.write_msr(vp, index, value); }
    u64 read(u32 index, u32 vp = 0) {
        u64 value = 0xdead;
        REQUIRE(hv.read_msr(vp, index, value) == MsrResult::Handled);
        return value;
    }
    void enable_hypercalls() {
        write(msr::kGuestOsId, 0x8100ull << 48);
        write(msr::kHypercall, 0x1001);
        REQUIRE(hv.hypercalls_enabled());
    }
    /// Message page of VP n at page 4 + 2n, flags page after it, SINT2 on vector 0xf3.
    void enable_synic(u32 vp = 0) {
        write(msr::kSimp, (4 + 2 * vp) << 12 | 1, vp);
        write(msr::kSiefp, (5 + 2 * vp) << 12 | 1, vp);
        write(msr::kSint0 + 2, 0xf3, vp);
        write(msr::kScontrol, 1, vp);
    }
    MessageSlot& slot(u32 sint = 2, u32 vp = 0) {
        return ram.at<MessageSlot>(((4 + 2 * vp) << 12) + sint * 256);
    }
    u8* flags(u32 sint = 2, u32 vp = 0) { return ram.raw(Gpa{((5ull + 2 * vp) << 12) + sint * 256}); }
    u64 call(u64 control, u64 input = 0, u32 vp = 0) {
        auto const result = hv.hypercall(vp, control, input, 0);
        REQUIRE_FALSE(result.invalid_opcode);
        return result.value;
    }
};
} // namespace hv::test
