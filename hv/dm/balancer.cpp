// SPDX-License-Identifier: Apache-2.0
#include "hv/dm/balancer.hpp"
#include "hv/base/assert.hpp"

namespace hv::dm {
namespace {
// Differences smaller than this are noise: a large page, the unit everything moves in.
constexpr u64 kGrain = kPagesPerLargePage;
// A partition is "short" only when it lacks more than 1/32 of what it wants, and has a surplus only beyond
// 1/16: the gap keeps a steady guest from being grown and shrunk in turns.
constexpr unsigned kShortShift = 5, kSurplusShift = 4;
// Idle memory leaves slowly: an eighth of the surplus a tick, at least this much.
constexpr u64 kIdleStepLeast = 16 * MiB / kPageBytes;
constexpr unsigned kIdleStepShift = 3;
// After a short answer the guest is left alone for this many ticks.
constexpr u64 kFloorTicks = 10;
// Passes over a shortage by weight before the rest goes in priority order.
constexpr unsigned kSharePasses = 3;

constexpr u64 min(u64 a, u64 b) {
    return a < b ? a : b;
}
constexpr u64 max(u64 a, u64 b) {
    return a > b ? a : b;
}
constexpr u64 above(u64 a, u64 b) {
    return a > b ? a - b : 0;
}

/// Whether the balancer may count on moving this partition's memory.
bool movable(PartitionView const& v) {
    return v.reporting && v.cooperative;
}
/// How far the partition is entitled to at each step.
u64 step_target(PartitionView const& v, PartitionMemory const& m, unsigned step) {
    u64 const floor = v.minimum;
    u64 const demand = min(max(v.demand, floor), v.maximum);
    switch (step) {
    case 0: return floor;
    case 1: return demand;
    default: return m.wanted;
    }
}

/// Gives out @p pool towards a step's targets, by priority, and returns what is left. Everyone gets a share
/// in proportion to priority first; what the small ones did not need goes round again; the last remainder
/// goes to the highest priorities.
u64 hand_out(u64 pool, unsigned step, std::span<PartitionView const> views,
             std::span<PartitionMemory> memory) {
    u64 need = 0;
    for (usize i = 0; i < views.size(); ++i) {
        if (movable(views[i])) {
            need += above(step_target(views[i], memory[i], step), memory[i].entitled);
        }
    }
    if (need <= pool) {
        for (usize i = 0; i < views.size(); ++i) {
            if (movable(views[i])) {
                memory[i].entitled = max(memory[i].entitled, step_target(views[i], memory[i], step));
            }
        }
        return pool - need;
    }
    for (unsigned pass = 0; pass < kSharePasses && pool > kGrain; ++pass) {
        u64 weights = 0;
        for (usize i = 0; i < views.size(); ++i) {
            if (movable(views[i]) && step_target(views[i], memory[i], step) > memory[i].entitled) {
                weights += views[i].priority + 1;
            }
        }
        if (weights == 0) {
            break;
        }
        u64 const share = (pool << 8) / weights; // pages a unit of priority, 8 fractional bits
        for (usize i = 0; i < views.size(); ++i) {
            if (!movable(views[i])) {
                continue;
            }
            u64 const lacks = above(step_target(views[i], memory[i], step), memory[i].entitled);
            u64 const gets = min(lacks, share * (views[i].priority + 1) >> 8);
            memory[i].entitled += gets;
            pool -= gets;
        }
    }
    for (usize i = views.size(); i-- > 0 && pool != 0;) {
        if (!movable(views[i])) {
            continue;
        }
        u64 const gets = min(above(step_target(views[i], memory[i], step), memory[i].entitled), pool);
        memory[i].entitled += gets;
        pool -= gets;
    }
    return 0;
}

/// Fills wanted and the surplus clock. @return pages wanted beyond what is assigned, over all
u64 look(HostView const&, std::span<PartitionView const> views, std::span<PartitionMemory> memory) {
    u64 needs = 0;
    for (usize i = 0; i < views.size(); ++i) {
        PartitionView const& v = views[i];
        PartitionMemory& m = memory[i];
        m.wanted = wanted_pages(v);
        m.entitled = v.assigned;
        if (v.at_floor) {
            m.floor_ticks = kFloorTicks;
        } else if (m.floor_ticks != 0) {
            --m.floor_ticks;
        }
        if (!movable(v)) {
            m.surplus_ticks = 0;
            continue;
        }
        bool const surplus = above(v.assigned, m.wanted) > max(kGrain, m.wanted >> kSurplusShift);
        m.surplus_ticks = surplus ? m.surplus_ticks + 1 : 0;
        needs += above(m.wanted, v.assigned);
    }
    return needs;
}

/// Entitlements when not everyone can have what it wants.
void share_shortage(HostView const& host, std::span<PartitionView const> views,
                    std::span<PartitionMemory> memory, u64 needs) {
    // First whether the surpluses cover it: then nobody's buffer is touched, and the least priority gives
    // first.
    u64 lacking = above(needs + host.claimed, host.free);
    for (usize i = 0; i < views.size() && lacking != 0; ++i) {
        if (!movable(views[i])) {
            continue;
        }
        u64 const gives = min(above(views[i].assigned, memory[i].wanted), lacking);
        memory[i].entitled -= gives;
        lacking -= gives;
    }
    if (lacking == 0) {
        for (usize i = 0; i < views.size(); ++i) {
            if (movable(views[i])) {
                memory[i].entitled = max(memory[i].entitled, memory[i].wanted);
            }
        }
        return;
    }
    u64 pool = host.free;
    for (usize i = 0; i < views.size(); ++i) {
        if (movable(views[i])) {
            pool += views[i].assigned;
            memory[i].entitled = 0;
        }
    }
    pool = above(pool, host.claimed);
    for (unsigned step = 0; step < 3 && pool != 0; ++step) {
        pool = hand_out(pool, step, views, memory);
    }
    // Nobody goes below its minimum, whatever was claimed.
    for (usize i = 0; i < views.size(); ++i) {
        if (movable(views[i])) {
            memory[i].entitled = max(memory[i].entitled, min(views[i].minimum, views[i].assigned));
        }
    }
}

Order shrink(PartitionView const& v, PartitionMemory const& m, u64 pages, Reason reason) {
    if (m.floor_ticks != 0) {
        return {Order::Kind::Hold, Reason::AtFloor, 0};
    }
    pages = min(pages, above(v.assigned, v.minimum));
    // Whole large pages: their tables stay large and the frames join again.
    u64 const whole = align_down(pages, kGrain);
    return {Order::Kind::Balloon, reason, whole != 0 ? whole : pages};
}

Order grow(PartitionView const& v, PartitionMemory const& m, u64& free) {
    u64 const lacks = above(m.entitled, v.assigned);
    Reason const reason = v.assigned < v.demand ? Reason::BelowDemand : Reason::BelowWanted;
    u64 const room = min(above(v.maximum, v.assigned), free);
    if (room == 0) {
        return {Order::Kind::Hold, Reason::NoFreeMemory, 0};
    }
    if (v.ballooned != 0) {
        u64 const pages = min(min(align_up(lacks, kGrain), v.ballooned), room);
        free -= pages;
        return {Order::Kind::GiveBack, reason, pages};
    }
    if (v.hot_addable == 0) {
        return {Order::Kind::Hold, Reason::Satisfied, 0};
    }
    u64 const unit = v.hot_add_unit == 0 ? kGrain : v.hot_add_unit;
    u64 const pages = min(min(align_up(lacks, unit), v.hot_addable), room);
    free -= pages;
    return {Order::Kind::HotAdd, reason, pages};
}

Order decide(HostView const& host, PartitionView const& v, PartitionMemory const& m, bool shortage,
             u64& free) {
    if (!movable(v)) {
        return {Order::Kind::Hold, Reason::NotReporting, 0};
    }
    if (!v.can_act) {
        return {Order::Kind::Hold, Reason::Busy, 0};
    }
    u64 const lacks = above(m.entitled, v.assigned);
    u64 const threshold = v.assigned < v.demand ? kGrain : max(kGrain, m.wanted >> kShortShift);
    if (lacks > threshold) {
        return grow(v, m, free);
    }
    u64 const gives = above(v.assigned, m.entitled);
    if (gives >= kGrain) {
        return shrink(v, m, gives, m.entitled >= m.wanted ? Reason::Surplus : Reason::SharedShortage);
    }
    if (!shortage && m.surplus_ticks > host.idle_ticks) {
        u64 const surplus = above(v.assigned, m.wanted);
        return shrink(v, m, min(surplus, max(surplus >> kIdleStepShift, kIdleStepLeast)), Reason::Idle);
    }
    return {Order::Kind::Hold, Reason::Satisfied, 0};
}
} // namespace

u64 wanted_pages(PartitionView const& v) {
    if (!v.reporting) {
        return v.assigned;
    }
    u64 const wanted = v.demand + v.demand / 100 * v.buffer_percent + v.demand % 100 * v.buffer_percent / 100;
    return min(max(wanted, v.minimum), v.maximum);
}

s64 availability_percent(u64 assigned, u64 demand) {
    if (assigned == 0) {
        return 0;
    }
    return (static_cast<s64>(assigned) - static_cast<s64>(demand)) * 100 / static_cast<s64>(assigned);
}

u64 pressure_percent(u64 assigned, u64 demand) {
    return assigned == 0 ? 0 : demand * 100 / assigned;
}

MemoryStatus status(PartitionView const& v) {
    if (!v.reporting) {
        return MemoryStatus::NotReported;
    }
    if (v.assigned < v.demand) {
        return MemoryStatus::Warning;
    }
    return v.assigned >= wanted_pages(v) ? MemoryStatus::Ok : MemoryStatus::Low;
}

void balance(HostView const& host, std::span<PartitionView const> views, std::span<PartitionMemory> memory,
             std::span<Order> orders) {
    HV_ASSERT(memory.size() == views.size() && orders.size() == views.size());
    u64 const needs = look(host, views, memory);
    bool const shortage = needs + host.claimed > host.free;
    if (shortage) {
        share_shortage(host, views, memory, needs);
    } else {
        for (usize i = 0; i < views.size(); ++i) {
            if (movable(views[i])) {
                memory[i].entitled = max(memory[i].entitled, memory[i].wanted);
            }
        }
    }
    // Free first, then give: only what is free now is handed out, highest priority first; the rest follows
    // when it is back.
    u64 free = above(host.free, host.claimed);
    for (usize i = views.size(); i-- > 0;) {
        orders[i] = decide(host, views[i], memory[i], shortage, free);
    }
}

char const* text(Reason reason) {
    switch (reason) {
    case Reason::None: return "nothing decided yet";
    case Reason::Satisfied: return "it has what it wants";
    case Reason::BelowDemand: return "it has less than its demand";
    case Reason::BelowWanted: return "its buffer is short";
    case Reason::Surplus: return "others need what it has beyond its wanted amount";
    case Reason::SharedShortage: return "the host is short and all give by priority";
    case Reason::Idle: return "it has not wanted this memory for long";
    case Reason::NoFreeMemory: return "it should grow but the host has nothing free";
    case Reason::NotReporting: return "its driver does not report";
    case Reason::Busy: return "an operation is under way";
    case Reason::AtFloor: return "the guest gave all it can for now";
    }
    return "?";
}

char const* text(MemoryStatus s) {
    switch (s) {
    case MemoryStatus::NotReported: return "not reported";
    case MemoryStatus::Ok: return "OK";
    case MemoryStatus::Low: return "low";
    case MemoryStatus::Warning: return "warning";
    }
    return "?";
}
} // namespace hv::dm
