// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/pit.hpp"
#include "hv/base/wide.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
namespace {
constexpr u64 k100nsPerSecond = 10'000'000;
constexpr u64 kClocksPerUnit = fraction_of(Pit::kHz, k100nsPerSecond); ///< 64 fractional bits
// Control word: counter 7:6 (3: read back), access 5:4 (0: latch), mode 3:1, BCD 0.
constexpr u8 kReadBack = 3;
constexpr u8 kKeepCount = 0x20, kKeepStatus = 0x10; // read back: these are not latched
// Status byte.
constexpr u8 kOutput = 0x80, kNullCount = 0x40;
// Port 61h.
constexpr u8 kGate2 = 1, kSpeaker = 2, kRefreshToggle = 0x10, kOutput2 = 0x20;

/// The first reference time at which @p clocks have passed since the start.
constexpr u64 units_of(u64 clocks) {
    return clocks / Pit::kHz * k100nsPerSecond +
           (clocks % Pit::kHz * k100nsPerSecond + Pit::kHz - 1) / Pit::kHz + 1;
}
} // namespace

void Pit::attach_to(PortBus& bus) {
    bus.attach(port::kPit, 4, *this, PortBus::Width::Bytes);
    bus.attach(port::kNmiStatus, 1, *this, PortBus::Width::Bytes);
}

void Pit::reset() {
    for (Counter& c : counters_) {
        c = {};
    }
    armed_ = speaker_ = false;
    fired_at_ = 0;
    line_.set(false);
    plan();
}

/// Clocks that the counter has counted.
u64 Pit::elapsed(Counter const& c) const {
    return c.gate ? multiply_high(clock_.reference_time() - c.start, kClocksPerUnit) : c.paused;
}

u16 Pit::value(Counter const& c) const {
    if (!c.loaded) {
        return 0;
    }
    u64 const passed = elapsed(c);
    switch (c.mode) {
    case 2: return static_cast<u16>(c.count - passed % c.count);
    case 3: // counts down by two, twice a period
        return static_cast<u16>(c.count - 2 * passed % c.count);
    default: return static_cast<u16>(c.count - passed); // goes on below zero
    }
}

bool Pit::output(Counter const& c) const {
    if (!c.loaded) {
        return !c.programmed || c.mode != 0; // a mode 0 that waits for its count is low
    }
    u64 const passed = elapsed(c);
    switch (c.mode) {
    case 0: return passed >= c.count;
    case 2: return !c.gate || passed % c.count != c.count - 1;
    case 3: return !c.gate || passed % c.count < (c.count + 1) / 2;
    default: return passed != c.count; // a strobe of one clock
    }
}

u32 Pit::read(u16 at, u8) {
    if (at == port::kNmiStatus) { // no parity or channel error; loops that wait for refresh must end
        refresh_ = !refresh_;
        Counter const& c = counters_[2];
        return (c.gate ? kGate2 : 0u) | (speaker_ ? kSpeaker : 0u) | (refresh_ ? kRefreshToggle : 0u) |
               (output(c) ? kOutput2 : 0u);
    }
    unsigned const index = at - port::kPit;
    return index < 3 ? read_count(counters_[index]) : 0xffu; // the control word cannot be read
}

void Pit::write(u16 at, u8, u32 value) {
    on_time(); // what is due comes before what changes it
    u8 const byte = static_cast<u8>(value);
    if (at == port::kNmiStatus) {
        speaker_ = (byte & kSpeaker) != 0;
        set_gate(counters_[2], (byte & kGate2) != 0);
        return;
    }
    unsigned const index = at - port::kPit;
    if (index < 3) {
        write_count(counters_[index], byte);
    } else {
        control(byte);
    }
    plan();
}

void Pit::latch_count(Counter& c) {
    if (c.latched == 0) { // one that was not read stays
        c.latch = value(c);
        c.latched = c.access == 3 ? 2 : 1;
        c.read_high = false;
    }
}

void Pit::control(u8 word) {
    unsigned const select = word >> 6;
    u8 const access = word >> 4 & 3;
    if (select == kReadBack) {
        for (unsigned i = 0; i < 3; ++i) {
            Counter& c = counters_[i];
            if ((word & (2u << i)) == 0) {
                continue;
            }
            if ((word & kKeepCount) == 0) {
                latch_count(c);
            }
            if ((word & kKeepStatus) == 0 && !c.status_latched) {
                c.status_latched = true;
                c.status = static_cast<u8>((output(c) ? kOutput : 0) | (c.loaded ? 0 : kNullCount) |
                                           c.access << 4 | c.mode << 1);
            }
        }
        return;
    }
    Counter& c = counters_[select];
    if (access == 0) {
        latch_count(c);
        return;
    }
    u8 const mode = word >> 1 & 7;
    constexpr u8 kModes[] = {0, 0, 2, 3, 4, 4, 2, 3}; // bit 2 is ignored in modes 2 and 3
    bool const gate = c.gate;
    c = {};
    c.mode = kModes[mode];
    c.access = access;
    c.programmed = true;
    c.gate = gate;
    if (select == 0) {
        armed_ = false;
        if (c.mode == 0) {
            line_.set(false);
        }
    }
}

void Pit::write_count(Counter& c, u8 byte) {
    if (c.access == 3 && !c.write_high) {
        c.low_byte = byte;
        c.write_high = true;
        return;
    }
    u32 const count = c.access == 1 ? byte : c.access == 2 ? byte << 8 : byte << 8 | c.low_byte;
    c.write_high = false;
    load(c, count == 0 ? 0x10000 : count);
}

void Pit::load(Counter& c, u32 count) {
    c.count = c.mode == 2 && count == 1 ? 2 : count; // 1 is illegal there
    c.start = clock_.reference_time();
    c.paused = 0;
    c.loaded = c.programmed = true;
    if (&c == counters_) {
        armed_ = true;
        if (c.mode == 0) {
            line_.set(false); // its way up is the interrupt
        }
    }
}

void Pit::set_gate(Counter& c, bool gate) {
    if (c.gate == gate) {
        return;
    }
    if (!gate) {
        c.paused = c.periodic() ? 0 : elapsed(c);
        c.gate = false;
        return;
    }
    c.gate = true;
    c.start = clock_.reference_time() - (c.paused == 0 ? 0 : units_of(c.paused));
}

u8 Pit::read_count(Counter& c) {
    if (c.status_latched) {
        c.status_latched = false;
        return c.status;
    }
    u16 const now = c.latched != 0 ? c.latch : value(c);
    bool const high = c.access == 2 || (c.access == 3 && c.read_high);
    c.read_high = c.access == 3 && !c.read_high;
    c.latched = static_cast<u8>(c.latched - (c.latched != 0));
    return static_cast<u8>(high ? now >> 8 : now);
}

/// When counter 0 interrupts next.
void Pit::plan() {
    Counter const& c = counters_[0];
    deadline_ = kNever;
    if (armed_) {
        u64 const periods = c.periodic() ? elapsed(c) / c.count : 0;
        u64 const due = c.start + units_of((periods + 1) * c.count);
        u64 const earliest = fired_at_ + kMinPeriod_100ns;
        deadline_ = due < earliest ? earliest : due;
    }
}

void Pit::on_time() {
    u64 const now = clock_.reference_time();
    if (now < deadline_) {
        return;
    }
    fired_at_ = now;
    armed_ = counters_[0].periodic();
    line_.set(false);
    line_.set(true);
    plan();
}
} // namespace hv::platform
