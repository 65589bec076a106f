// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/hyperv/hyperv_fixture.hpp"

using namespace hv;
using namespace hv::test;

namespace {
constexpr u64 kFast = 1ull << 16;
constexpr u64 kInput = 0x2000;

void place(Partition& p, u64 at, u32 connection, u32 type, u32 size, std::vector<u8> const& payload = {}) {
    p.ram.at<u32>(at) = connection;
    p.ram.at<u32>(at + 4) = 0;
    p.ram.at<u32>(at + 8) = type;
    p.ram.at<u32>(at + 12) = size;
    std::copy(payload.begin(), payload.end(), p.ram.raw(Gpa{at + 16}));
}
} // namespace

TEST_CASE("PostMessage hands over a copy of the message", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    std::vector<u8> const payload{1, 2, 3, 4, 5};
    place(p, kInput, 4, 1, 5, payload);
    CHECK(p.call(0x5c, kInput, 1) == 0);
    REQUIRE(p.sinks.posts.size() == 1);
    CHECK(p.sinks.posts[0] == RecordingSinks::Post{1, 4, 1, payload});

    std::vector<u8> const longest(240, 7);
    place(p, kInput, 4, 1, 240, longest);
    CHECK(p.call(0x5c, kInput) == 0);
    CHECK(p.sinks.posts[1].payload == longest);

    place(p, 0x3ff0, 4, 1, 0); // a message without payload at the very end of a page
    CHECK(p.call(0x5c, 0x3ff0) == 0);
    CHECK(p.sinks.posts[2].payload.empty());

    p.sinks.answer = HypercallStatus::InsufficientBuffers;
    CHECK(p.call(0x5c, kInput) == 19);
    CHECK(p.hv.counters().hypercalls_by_status[0] == 3);
    CHECK(p.hv.counters().hypercalls_by_status[19] == 1);
}

TEST_CASE("a malformed PostMessage gets its status and goes nowhere", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    place(p, kInput, 4, 1, 8);
    struct Case {
        char const* what;
        u64 control, input, status;
    };
    auto const c = GENERATE(
        Case{"fast", 0x5c | kFast, kInput, 3}, Case{"repetitions", 0x5c | 1ull << 32, kInput, 3},
        Case{"repetition start", 0x5c | 1ull << 48, kInput, 3},
        Case{"variable header", 0x5c | 1ull << 17, kInput, 3},
        Case{"reserved 27", 0x5c | 1ull << 27, kInput, 3}, Case{"reserved 44", 0x5c | 1ull << 44, kInput, 3},
        Case{"reserved 63", 0x5c | 1ull << 63, kInput, 3}, Case{"nested", 0x5c | 1ull << 31, kInput, 3},
        Case{"unaligned", 0x5c, kInput + 4, 4}, Case{"header across pages", 0x5c, 0x2ff8, 4},
        Case{"no RAM", 0x5c, 0x1000'0000, 5}, Case{"no address", 0x5c, ~7ull, 4});
    INFO(c.what);
    CHECK(p.call(c.control, c.input) == c.status);
    CHECK(p.sinks.posts.empty());
    CHECK(p.hv.counters().hypercalls_by_status[c.status] == 1);
}

TEST_CASE("a message that lies about itself is refused", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    place(p, kInput, 4, 1, 241);
    CHECK(p.call(0x5c, kInput) == 5);
    place(p, kInput, 4, 1, ~0u);
    CHECK(p.call(0x5c, kInput) == 5);
    place(p, kInput, 4, 0x8000'0010, 8); // only the hypervisor sends those
    CHECK(p.call(0x5c, kInput) == 5);
    place(p, kInput, 4, 0, 8);
    CHECK(p.call(0x5c, kInput) == 5);
    place(p, 0x2fe0, 4, 1, 17); // payload leaves the page
    CHECK(p.call(0x5c, 0x2fe0) == 4);
    CHECK(p.sinks.posts.empty());
}

TEST_CASE("SignalEvent comes fast and slow", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    CHECK(p.call(0x5d | kFast, 0x0003'0000'2001, 1) == 0);
    p.ram.at<u64>(kInput) = 0x2002;
    CHECK(p.call(0x5d, kInput) == 0);
    REQUIRE(p.sinks.events.size() == 2);
    CHECK(p.sinks.events[0] == RecordingSinks::Event{1, 0x2001, 3});
    CHECK(p.sinks.events[1] == RecordingSinks::Event{0, 0x2002, 0});

    CHECK(p.call(0x5d | kFast, 1ull << 48) == 5);
    CHECK(p.call(0x5d, kInput + 1) == 4);
    CHECK(p.call(0x5d, 0x1000'0000) == 5);
    CHECK(p.call(0x5d | kFast | 1ull << 32, 0x2001) == 3);
    p.sinks.answer = HypercallStatus::InvalidConnectionId;
    CHECK(p.call(0x5d | kFast, 0x2001) == 18);
}

TEST_CASE("every other call code is unknown", "[hyperv]") {
    Partition p;
    p.enable_hypercalls();
    u64 calls = 0;
    for (u32 code = 0; code < 0x1'0000; ++code) {
        if (code == 0x5c || code == 0x5d) continue;
        CAPTURE(code);
        if (p.call(code, kInput) != 2) FAIL("not invalid");
        if (p.call(code | kFast | 5ull << 32, kInput) != 2) FAIL("not invalid");
        calls += 2;
    }
    CHECK(p.hv.counters().hypercalls_by_status[2] == calls);
}

TEST_CASE("without a bus there is no connection", "[hyperv]") {
    FlatGuestRam ram{16};
    RecordingInterrupts interrupts;
    ManualClock clock;
    std::array<HypervVp, 1> vps;
    HypervInterface alone{{.memory = ram, .interrupts = interrupts, .clock = clock, .vps = vps}};
    alone.write_msr(0, msr::kGuestOsId, 1);
    alone.write_msr(0, msr::kHypercall, 0x1001);
    ram.at<u32>(kInput + 8) = 1;
    CHECK(alone.hypercall(0, 0x5c, kInput, 0).value == 18);
    CHECK(alone.hypercall(0, 0x5d | kFast, 1, 0).value == 18);
}
