// SPDX-License-Identifier: Apache-2.0
// A guest that touches every synthetic MSR, calls every hypercall and scribbles over the pages it has named.
#include "hv/hyperv/hyperv_interface.hpp"
#include "tests/fakes/flat_guest_ram.hpp"
#include "tests/fakes/interrupts_and_clock.hpp"
#include "tests/fuzz/fuzz_choices.hpp"

using namespace hv;
using namespace hv::test;
using namespace hv::hyperv;

namespace {
constexpr u32 kVps = 2, kPages = 24;

struct Sinks final : PostSink, EventSink, CrashSink {
    HypercallStatus post(u32 vp, u32 connection, u32 type, std::span<u8 const> payload) override {
        REQUIRE_THAT(vp < kVps && payload.size() <= kMessagePayloadBytes);
        REQUIRE_THAT(type != 0 && (type & kHypervisorMessageBit) == 0);
        return connection % 2 == 0 ? HypercallStatus::Success : HypercallStatus::InvalidConnectionId;
    }
    HypercallStatus signal(u32 vp, u32, u16) override {
        REQUIRE_THAT(vp < kVps);
        return HypercallStatus::Success;
    }
    void guest_crashed(CrashReport const& report) override {
        REQUIRE_THAT(report.text.size() <= 4096);
        for (char c : report.text)
            REQUIRE_THAT(c == '\n' || (c >= ' ' && c <= '~'));
    }
};

struct World {
    FlatGuestRam ram{kPages};
    RecordingInterrupts interrupts;
    ManualClock clock;
    Sinks sinks;
    std::array<HypervVp, kVps> vps;
    HypervInterface hv{{.memory = ram,
                        .interrupts = interrupts,
                        .clock = clock,
                        .vps = vps,
                        .hypercall_instruction = {0x0f, 0x01, 0xc1},
                        .apic_hz = 1,
                        .crash_sink = &sinks}};
    World() { hv.connect(sinks, sinks); }
};

/// Values that mean something to some register, mixed with any.
u64 register_value(FuzzInput& in) {
    switch (below(in, 6)) {
    case 0: return in.get<u64>();
    case 1: return u64{below(in, kPages + 2)} << 12 | below(in, 4); // a page, enabled or not
    case 2: return below(in, 256) | u64{below(in, 8)} << 16;        // a SINT
    case 3: return in.get<u32>() & 0xf'ffff;                        // a timer's CONFIG
    case 4: return 1'000'000 + in.get<u32>() % 100'000;             // a timer's COUNT
    default: return below(in, 3);
    }
}
/// Sixteen MSRs out of every group, more often than unknown ones.
u32 register_index(FuzzInput& in) {
    constexpr u32 kGroups[] = {0x4000'0000, 0x4000'0020, 0x4000'0070, 0x4000'0080, 0x4000'0090,
                               0x4000'00b0, 0x4000'0100, 0x4000'0110, 0x4000'0ff8, 0x3fff'fff8};
    return kGroups[below(in, 10)] + below(in, 16);
}

void step(World& w, FuzzInput& in) {
    u32 const vp = below(in, kVps);
    switch (below(in, 12)) {
    case 0:
    case 1: {
        u32 const index = register_index(in);
        (void)w.hv.write_msr(vp, index, register_value(in));
        break;
    }
    case 2: {
        u64 value = 0;
        (void)w.hv.read_msr(vp, register_index(in), value);
        break;
    }
    case 3: {
        u64 const control = one_in(in, 4) ? in.get<u64>() : 0x5c + below(in, 2) + (u64{below(in, 2)} << 16);
        auto const result =
            w.hv.hypercall(vp, control, one_in(in, 3) ? in.get<u64>() : below(in, 0xffff), in.get<u64>());
        REQUIRE_THAT(result.invalid_opcode == !w.hv.hypercalls_enabled());
        REQUIRE_THAT(result.value < kHypercallStatusLimit);
        break;
    }
    case 4: { // a PostMessage that gets somewhere
        u64 const at = below(in, kPages * 512 - 32) * 8ull;
        u32 const fields[] = {below(in, 8), 0, below(in, 3), below(in, 260)};
        (void)w.ram.write(Gpa{at}, std::span{reinterpret_cast<u8 const*>(fields), sizeof fields});
        (void)w.hv.hypercall(vp, 0x5c, at, 0);
        break;
    }
    case 5: {
        auto const bytes = bytes_from(in, below(in, 40));
        (void)w.ram.write(Gpa{in.get<u32>() % (kPages * kPageBytes)}, bytes);
        break;
    }
    case 6: {
        w.clock.reference += one_in(in, 8) ? in.get<u32>() : below(in, 2000);
        w.hv.on_time(vp, w.clock.reference);
        REQUIRE_THAT(w.hv.next_deadline(vp) > w.clock.reference);
        break;
    }
    case 7: w.hv.deliver_waiting(vp); break;
    case 8: {
        usize const room = w.hv.message_room();
        auto const payload = bytes_from(in, below(in, 241));
        auto const status = w.hv.post_message(vp, below(in, kSintCount), 1 + below(in, 3), payload);
        REQUIRE_THAT((status == PostStatus::Ok) == (room != 0));
        break;
    }
    case 9: (void)w.hv.signal_event(vp, below(in, kSintCount), below(in, kEventFlagsPerSint)); break;
    case 10: {
        u64 const page = below(in, kPages);
        if (one_in(in, 2)) {
            w.ram.balloon(page);
        } else {
            w.ram.give_back(page);
        }
        break;
    }
    default:
        switch (below(in, 8)) {
        case 0: w.hv.reset(); break;
        case 1: w.hv.reset_vp(vp); break;
        case 2: w.hv.discard_messages(below(in, kSintCount)); break;
        case 3: w.hv.refresh_reference_page(); break;
        default: {
            CpuidRegs regs;
            (void)w.hv.cpuid(in.get<u32>(), regs);
            (void)w.hv.auto_eoi(vp, in.get<u8>());
        }
        }
    }
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, size_t size) {
    World w;
    FuzzInput in{data, size};
    // Most inputs start where a guest has set things up; the rest must get there themselves.
    if (!one_in(in, 4)) {
        w.hv.write_msr(0, msr::kGuestOsId, 1);
        w.hv.write_msr(0, msr::kHypercall, 0x1001);
        for (u32 vp = 0; vp < kVps; ++vp) {
            w.hv.write_msr(vp, msr::kSimp, (2 + vp) << 12 | 1);
            w.hv.write_msr(vp, msr::kSiefp, (4 + vp) << 12 | 1);
            for (u32 s = 0; s < kSintCount; ++s)
                w.hv.write_msr(vp, msr::kSint0 + s, 0x30 + s);
            w.hv.write_msr(vp, msr::kScontrol, 1);
        }
    }
    while (!in.empty()) {
        step(w, in);
        for (auto const& [vp, vector] : w.interrupts.raised)
            REQUIRE_THAT(vp < kVps);
        w.interrupts.raised.clear();
        REQUIRE_THAT(w.hv.message_room() <= MessagePool::kMessages);
    }
    w.hv.reset();
    REQUIRE_THAT(w.hv.message_room() == MessagePool::kMessages);
    for (u32 vp = 0; vp < kVps; ++vp)
        REQUIRE_THAT(w.hv.next_deadline(vp) == kNever);
    return 0;
}
