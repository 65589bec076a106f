// SPDX-License-Identifier: Apache-2.0
// Three passes over the partitions: look (what does each want, what may it hope for), share (only when there
// is not enough: who is entitled to what), order (grow from the top of the priorities, shrink from the
// bottom).
#include "hv/dm/balancer.hpp"
#include "hv/base/assert.hpp"

namespace hv::dm {
namespace {
// Differences smaller than this are noise: a large page, the unit everything moves in.
constexpr u64 kGrain = kPagesPerLargePage;
// A partition is "short" only when it lacks more than 1/32 of what it wants, and has a surplus only beyond
// 1/16: the gap keeps a steady guest from being grown and shrunk in turns.
constexpr unsigned kShortShift = 5;
// What grows gets 1/64 more than it wants now.
constexpr unsigned kMarginShift = 6;
// Reports lag behind: for some ticks after growing, until this is shifted out, the smallest lack is made
// good.
constexpr u64 kSettling = 1u << 7;
// Idle memory leaves slowly: an eighth of the surplus a tick, at least this much.
constexpr u64 kIdleStepLeast = 16 * MiB / kPageBytes;
constexpr unsigned kIdleStepShift = 3;
// After a short answer the guest is left alone for this many ticks, twice as many after each further one.
constexpr u64 kFloorTicksFirst = 10, kFloorTicksMost = 160;
// The guest spends 1/64 of a whole unit on describing it, however little of the unit it gets.
constexpr u64 kLeastHotAdd = 16 * MiB / kPageBytes;

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

/// What a partition that reports should have.
u64 wanted_of(PartitionView const& v) {
    return min(max(v.demand * (100 + v.buffer_percent) / 100, v.minimum), v.maximum);
}
/// Less than this is missing to nobody.
constexpr u64 short_of(u64 wanted) {
    return kGrain + (wanted >> kShortShift);
}

/// Keeps the clock of a guest that gave less than asked. @return whether it can be asked: not right after
/// that, unless its demand has fallen since
bool look_at_floor(PartitionView const& v, PartitionMemory& m) {
    if (!v.at_floor) {
        m.floor_ticks = 0;
        m.floor_wait = v.can_act ? 0 : m.floor_wait; // busy: perhaps with our next try
        return true;
    }
    if (m.floor_ticks++ == 0) {
        m.floor_wait = m.floor_wait == 0 ? kFloorTicksFirst : min(2 * m.floor_wait, kFloorTicksMost);
        m.floor_demand = v.demand;
    }
    return m.floor_ticks > m.floor_wait || v.demand + (v.demand >> 4) < m.floor_demand;
}

struct Sums {
    u64 hunger = 0;   ///< lacked by those who lack enough to act on it
    u64 assigned = 0; ///< of the movable, as all below
    u64 surplus = 0;  ///< of those who can give
    u64 least = 0;    ///< the first steps of a shortage
    u64 demand = 0;
    u64 weights = 0;
};

void look_at(PartitionView const& v, PartitionMemory& m, Sums& sums) {
    m.wanted = wanted_of(v);
    // Whoever is below its demand is helped at once, and who has begun to grow goes on until it has all.
    m.tolerance = v.assigned < v.demand || m.settling != 0 ? kGrain : short_of(m.wanted);
    u64 const surplus = above(v.assigned, m.wanted);
    if (surplus <= 2 * short_of(m.wanted)) {
        m.surplus_ticks = 0;
    } else {
        ++m.surplus_ticks;
    }
    u64 const reach = min(v.maximum, v.assigned + v.ballooned + v.hot_addable);
    m.goal = min(m.wanted, reach);
    m.least = min(v.minimum, m.goal);
    u64 const lacks = above(m.goal, v.assigned);
    m.entitled = v.assigned + lacks;
    if (lacks > m.tolerance) {
        // A little more, because a larger guest wants more: Linux keeps 1/8 to 1/32 of its memory free.
        m.entitled = min(m.goal + (m.wanted >> kMarginShift), reach);
        sums.hunger += m.entitled - v.assigned;
    }
    sums.surplus += surplus;
    if ((m.floor_wait | v.at_floor) != 0) {
        m.can_give = look_at_floor(v, m);
        if (!m.can_give) {
            // It keeps what it has, whatever the others do.
            m.least = v.assigned;
            m.goal = max(m.goal, v.assigned);
            sums.surplus -= surplus;
        }
    }
    m.demand = max(min(v.demand, m.goal), m.least);
    sums.assigned += v.assigned;
    sums.least += m.least;
    sums.demand += m.demand;
    sums.weights += u64{v.priority} + 1;
}

/// A function of its own: the sums then stay in memory, an addition each, and leave the registers to the
/// rest.
[[gnu::noinline]] void look(std::span<PartitionView const> views, std::span<PartitionMemory> memory,
                            Sums& sums) {
    for (usize i = 0; i < views.size(); ++i) {
        PartitionView const& v = views[i];
        PartitionMemory& m = memory[i];
        if (!v.reporting || !v.cooperative) {
            m.movable = m.can_give = false;
            m.wanted = m.least = m.demand = m.goal = m.entitled = v.assigned;
            m.surplus_ticks = 0;
            continue;
        }
        m.movable = m.can_give = true;
        look_at(v, m, sums);
    }
}

/// The surpluses cover @p lacking: nobody's buffer is touched, and the least priority gives first.
void take_surpluses(u64 lacking, std::span<PartitionView const> views, std::span<PartitionMemory> memory) {
    for (usize i = 0; i < views.size() && lacking != 0; ++i) {
        if (memory[i].can_give) {
            u64 const gives = min(above(views[i].assigned, memory[i].wanted), lacking);
            memory[i].entitled -= gives;
            lacking -= gives;
        }
    }
}

using Step = u64 PartitionMemory::*;

/// Entitles everyone to @p from and a share of @p pool towards @p to, in proportion to priority.
/// @param weights the sum over those who take part; may count some who lack nothing
/// @param[in,out] pool what there is to share, then what is left
/// @return the sum over those who still lack something
u64 share_out(u64& pool, u64 weights, Step from, Step to, std::span<PartitionView const> views,
              std::span<PartitionMemory> memory) {
    u64 const share = weights == 0 ? 0 : (pool << 8) / weights; // pages a unit of priority, 8 fractional bits
    weights = 0;
    for (usize i = 0; i < views.size(); ++i) {
        PartitionMemory& m = memory[i];
        u64 const lacks = m.*to - m.*from;
        u64 const weight = u64{views[i].priority} + 1;
        u64 const gets = min(lacks, share * weight >> 8);
        m.entitled = m.*from + gets;
        pool -= gets;
        weights += gets != lacks ? weight : 0;
    }
    return weights;
}

/// Shares out what is left among those who still lack something, the highest priority first; what one does
/// not need of its share goes to the next. @return what is left even so
u64 share_rest(u64 pool, u64 weights, Step to, std::span<PartitionView const> views,
               std::span<PartitionMemory> memory) {
    u64 const share = weights == 0 ? 0 : (pool << 8) / weights + 1; // rounded up: nothing should be left
    u64 offered = 0;
    for (usize i = views.size(); i-- > 0;) {
        PartitionMemory& m = memory[i];
        u64 const lacks = m.*to - m.entitled;
        if (lacks != 0) {
            offered = min(offered + (share * (u64{views[i].priority} + 1) >> 8), pool);
            u64 const gets = min(lacks, offered);
            m.entitled += gets;
            offered -= gets;
            pool -= gets;
            if (pool == 0) {
                break;
            }
        }
    }
    return pool;
}

/// Entitlements when not everyone can have what it wants: all get the highest step that @p pool affords to
/// all (minimum, demand), and share by priority what is left towards the next (demand, wanted).
void share_shortage(u64 pool, Sums const& sums, std::span<PartitionView const> views,
                    std::span<PartitionMemory> memory) {
    // Nobody goes below its minimum, whatever was claimed.
    bool const above_demand = sums.demand <= pool;
    pool = above(pool, above_demand ? sums.demand : sums.least);
    Step const from = above_demand ? &PartitionMemory::demand : &PartitionMemory::least;
    Step const to = above_demand ? &PartitionMemory::goal : &PartitionMemory::demand;
    u64 const weights = share_out(pool, sums.weights, from, to, views, memory);
    pool = share_rest(pool, weights, to, views, memory);
    for (usize i = views.size(); i-- > 0 && pool != 0;) {
        u64 const gets = min(memory[i].*to - memory[i].entitled, pool);
        memory[i].entitled += gets;
        pool -= gets;
    }
}

Order grow(PartitionView const& v, u64 lacks, bool shared, u64& free) {
    constexpr Order kNothingFree{Order::Kind::Hold, Reason::NoFreeMemory, 0};
    Reason const reason = v.assigned < v.demand ? Reason::BelowDemand : Reason::BelowWanted;
    u64 const room = min(above(v.maximum, v.assigned), free);
    Order order{Order::Kind::GiveBack, reason, 0};
    if (v.ballooned != 0) {
        order.pages = min(min(align_up(lacks, kGrain), v.ballooned), room);
    } else {
        order.kind = Order::Kind::HotAdd;
        u64 const unit = max(v.hot_add_unit, kGrain);
        // In a shortage a whole unit would be more than its share.
        u64 const wish = shared ? align_down(lacks, kGrain) : align_up(lacks, unit);
        order.pages = min(min(wish, v.hot_addable), room);
        if (order.pages < kLeastHotAdd && order.pages < v.hot_addable) {
            return kNothingFree;
        }
    }
    if (order.pages == 0) {
        return kNothingFree;
    }
    free -= order.pages;
    return order;
}

/// Orders for those who grow, the highest priority first, and a Hold for the others. Free first, then give:
/// only what is free now is handed out. @return pages that growing takes, free or not
u64 order_growth(u64 free, bool shared, std::span<PartitionView const> views,
                 std::span<PartitionMemory> memory, std::span<Order> orders) {
    u64 hunger = 0;
    for (usize i = views.size(); i-- > 0;) {
        PartitionView const& v = views[i];
        PartitionMemory& m = memory[i];
        if (!m.movable) {
            orders[i] = {Order::Kind::Hold, Reason::NotReporting, 0};
            continue;
        }
        u64 const lacks = above(m.entitled, v.assigned);
        if (lacks > m.tolerance) {
            m.settling = kSettling;
            m.can_give = false;
            // In a shortage little things are not taken from others: that would only move the shortage
            // around.
            if (!shared || lacks > short_of(m.wanted)) {
                hunger += lacks;
            }
            if (v.can_act) {
                orders[i] = grow(v, lacks, shared, free);
            } else {
                free -= min(lacks, free); // what it is about to get is not for lower priorities
                orders[i] = {Order::Kind::Hold, Reason::Busy, 0};
            }
            continue;
        }
        m.settling >>= 1;
        if (!v.can_act) {
            orders[i] = {Order::Kind::Hold, Reason::Busy, 0};
        } else if (shared && above(m.goal, v.assigned) > m.tolerance) {
            orders[i] = {Order::Kind::Hold, Reason::NoFreeMemory, 0};
        } else {
            orders[i] = {Order::Kind::Hold, Reason::Satisfied, 0};
            if (above(m.wanted, m.entitled) > m.tolerance) {
                orders[i].reason = Reason::CannotGrow;
            } else if (!m.can_give && m.surplus_ticks != 0) {
                orders[i].reason = Reason::AtFloor;
            }
        }
    }
    return hunger;
}

/// Orders for those who shrink, the least priority first: for @p needed pages that others get, and for
/// surpluses that have idled.
[[gnu::noinline]] void order_shrinking(HostView const& host, u64 needed, std::span<PartitionView const> views,
                                       std::span<PartitionMemory> memory, std::span<Order> orders) {
    // Whole large pages are taken, so that tables stay large and frames join again; what one gives beyond its
    // part is the next ones' relief.
    s64 owed = 0;
    for (usize i = 0; i < views.size(); ++i) {
        PartitionView const& v = views[i];
        PartitionMemory& m = memory[i];
        if (!m.can_give) {
            continue;
        }
        u64 const gives = min(above(v.assigned, m.entitled), needed);
        needed -= gives;
        if (!v.can_act) {
            continue; // it is being worked on, so the others need not give that too
        }
        owed += static_cast<s64>(gives);
        Order order{Order::Kind::Balloon, m.entitled >= m.goal ? Reason::Surplus : Reason::SharedShortage, 0};
        if (gives != 0 && owed > 0) {
            order.pages = min(align_up(static_cast<u64>(owed), kGrain), above(v.assigned, v.minimum));
            owed -= static_cast<s64>(order.pages);
        } else if (m.surplus_ticks > host.idle_ticks) {
            u64 const idle = v.assigned - m.wanted;
            order.reason = Reason::Idle;
            order.pages = align_down(min(idle, max(idle >> kIdleStepShift, kIdleStepLeast)), kGrain);
        }
        if (order.pages != 0) {
            orders[i] = order;
            m.floor_ticks = 0; // it is asked again
        }
    }
}
} // namespace

u64 wanted_pages(PartitionView const& v) {
    return v.reporting ? wanted_of(v) : v.assigned;
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

u64 reclaimable_pages(std::span<PartitionView const> views) {
    u64 pages = 0;
    for (PartitionView const& v : views) {
        pages += movable(v) ? above(v.assigned, v.minimum) : 0;
    }
    return pages;
}

void balance(HostView const& host, std::span<PartitionView const> views, std::span<PartitionMemory> memory,
             std::span<Order> orders) {
    HV_ASSERT(memory.size() == views.size() && orders.size() == views.size());
    Sums sums;
    look(views, memory, sums);
    u64 const lacking = above(sums.hunger + host.claimed, host.free);
    bool const shared = lacking > sums.surplus;
    if (shared) {
        share_shortage(above(host.free + sums.assigned, host.claimed), sums, views, memory);
    } else {
        take_surpluses(lacking, views, memory);
    }
    u64 const growth = order_growth(above(host.free, host.claimed), shared, views, memory, orders);
    order_shrinking(host, above(growth + host.claimed, host.free), views, memory, orders);
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
    case Reason::CannotGrow: return "it should grow but takes no more memory";
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
