// SPDX-License-Identifier: Apache-2.0
// Channel 2 of the 8254 counts down while its gate (port 61h bit 0) is open, and reaches no interrupt. Both
// clocks are read at the moment its count changes: each reading is then as sharp as the loop is fast, not as
// one PIT tick (838 ns) is long. Source: Intel 82C54 data sheet, "Counter Latch Command", "Mode 2".
#include "hv/init/cpu/clocks.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/init/boot/tsc_rate.hpp"
#include "hv/init/cpu/local_apic.hpp"

namespace hv::init {
namespace {
constexpr u16 kChannel2 = 0x42, kPitCommand = 0x43, kGatePort = 0x61;
constexpr u8 kChannel2Mode2 = 0xb4, kLatchChannel2 = 0x80;
constexpr u8 kGateOpen = 0x01, kSpeakerOn = 0x02;
constexpr u64 kMeasuredPitTicks = kPitHz / 100; // 10 ms
constexpr u64 kRoughPitTicks = 120;             // 100 µs, to know how long to leave the PIT alone
constexpr u64 kSilentLooks = 1'000'000;
constexpr u32 kFullCount = 0xffff'ffff;

struct Edge {
    u16 pit = 0;
    u64 tsc = 0;
    u32 apic = 0; ///< counts down
    u64 tsc_blur = 0;
    bool seen = false;
};

u16 pit_count() {
    arch::out8(kPitCommand, kLatchChannel2);
    u16 const low = arch::in8(kChannel2);
    return static_cast<u16>(low | arch::in8(kChannel2) << 8);
}

/// Looks at the PIT until its count has changed and is at least @p ticks below @p from.
Edge next_edge(u16 from, u64 ticks) {
    Edge edge;
    u16 last = pit_count();
    u64 last_tsc = arch::rdtsc();
    for (u64 looks = 0; looks < kSilentLooks; ++looks) {
        edge.pit = pit_count();
        edge.tsc = arch::rdtsc();
        edge.apic = local_apic().timer_count();
        if (edge.pit != last && static_cast<u16>(from - edge.pit) >= ticks) {
            edge.tsc_blur = edge.tsc - last_tsc;
            edge.seen = true;
            return edge;
        }
        last = edge.pit;
        last_tsc = edge.tsc;
    }
    return edge;
}

void start_pit() {
    arch::out8(kGatePort, static_cast<u8>((arch::in8(kGatePort) & ~kSpeakerOn) | kGateOpen));
    arch::out8(kPitCommand, kChannel2Mode2);
    arch::out8(kChannel2, 0xff);
    arch::out8(kChannel2, 0xff);
}

std::optional<u64> told_tsc_hz() {
    if (arch::cpuid(0).eax < 0x15) {
        return std::nullopt;
    }
    arch::CpuidResult const crystal = arch::cpuid(0x15);
    return tsc_hz_of_crystal(crystal.eax, crystal.ebx, crystal.ecx);
}

/// Where there is no 8254: the APIC's timer against a TSC whose frequency CPUID tells.
Clocks measure_by_tsc(u64 tsc_hz) {
    u32 const first = local_apic().timer_count();
    u64 const start = arch::rdtsc();
    delay_us(tsc_hz, 10'000);
    u32 const last = local_apic().timer_count();
    u64 const ticks = arch::rdtsc() - start;
    return {tsc_hz, scale(first - last, tsc_hz, ticks), true};
}
} // namespace

Result<Clocks, ClockError> measure_clocks() {
    std::optional<u64> const told = told_tsc_hz();
    u8 const gate = arch::in8(kGatePort);
    start_pit();
    local_apic().start_timer(kFullCount);
    Edge const start = next_edge(pit_count(), 1);
    Edge const rough = start.seen ? next_edge(start.pit, kRoughPitTicks) : Edge{};
    Edge end;
    if (rough.seen) {
        // Port reads are slow where they are emulated: wait most of the time by the TSC.
        u64 const rough_pit = static_cast<u16>(start.pit - rough.pit);
        u64 const target = start.tsc + scale(kMeasuredPitTicks, rough.tsc - start.tsc, rough_pit);
        while (arch::rdtsc() < target) {
            arch::pause();
        }
        end = next_edge(start.pit, kMeasuredPitTicks / 2);
    }
    std::optional<u64> tsc_hz, apic_hz;
    if (end.seen) {
        u64 const pit_ticks = static_cast<u16>(start.pit - end.pit);
        u64 const blur = start.tsc_blur + end.tsc_blur;
        u64 const apic_ticks = start.apic - end.apic;
        u64 const tsc_ticks = end.tsc - start.tsc;
        tsc_hz = frequency_hz({pit_ticks, tsc_ticks, blur});
        apic_hz = frequency_hz({pit_ticks, apic_ticks, scale(blur, apic_ticks, tsc_ticks) + 1});
    }
    std::optional<Clocks> clocks;
    if (tsc_hz && apic_hz) {
        clocks = Clocks{told.value_or(*tsc_hz), *apic_hz, told.has_value()};
    } else if (told) {
        clocks = measure_by_tsc(*told);
    }
    local_apic().start_timer(0);
    arch::out8(kGatePort, gate);
    if (!clocks || clocks->apic_timer_hz == 0) {
        return Err{ClockError::TimerSilent};
    }
    return *clocks;
}

void delay_us(u64 tsc_hz, u64 microseconds) {
    u64 const end = arch::rdtsc() + scale(microseconds, tsc_hz, 1'000'000);
    while (arch::rdtsc() < end) {
        arch::pause();
    }
}
} // namespace hv::init
