// SPDX-License-Identifier: Apache-2.0
// Who should have how much memory: a pure policy, fed once a second. It sees numbers and gives orders;
// effects live in DmService and hv/partition. All amounts are 4 KiB pages. O(partitions) a tick, no
// allocation, no division by what a guest says.
//
//   assigned = pages backed         demand = committed − ballooned
//   wanted   = demand × (1 + buffer), kept within [minimum, maximum]
//
//   enough for all:        everyone is entitled to what it wants, and keeps what it has
//   surpluses cover it:    the least priority gives its surplus first
//   otherwise:             minimum → demand → wanted, each step for all, the first that is not affordable
//                          shared by priority
#pragma once
#include "hv/base/types.hpp"
#include <span>

namespace hv::dm {
enum class MemoryStatus : u8 {
    NotReported, ///< no live driver, or no report yet
    Ok,          ///< assigned >= wanted
    Low,         ///< demand <= assigned < wanted
    Warning,     ///< assigned < demand
};

/// What the balancer sees of one partition. Filled by its owner each tick.
struct PartitionView {
    u64 assigned = 0;
    u64 demand = 0; ///< valid with `reporting`; at most 2^40
    u64 minimum = 0, maximum = 0;
    u64 ballooned = 0;    ///< can be given back: not those of a driver that is gone
    u64 hot_addable = 0;  ///< can be hot-added, 0 when the guest refuses
    u64 hot_add_unit = 0; ///< the guest wants hot-added memory in multiples of this
    u32 buffer_percent = 20;
    u32 priority = 5000;     ///< 0 … 10000
    bool reporting = false;  ///< live driver with a valid report
    bool can_act = false;    ///< driver ready for an operation now
    bool cooperative = true; ///< answers in time; otherwise planned without
    bool at_floor = false;   ///< gave less than asked last time
};

struct HostView {
    u64 free = 0;        ///< frames nobody has, beyond hypervisor and reserve
    u64 claimed = 0;     ///< needed for a partition that waits to start
    u64 idle_ticks = 60; ///< a surplus this old goes back although nobody asks
};

enum class Reason : u8 {
    None,
    Satisfied,      ///< has what it wants
    BelowDemand,    ///< grows: has less than its demand
    BelowWanted,    ///< grows: its buffer is short
    Surplus,        ///< shrinks: others need what it has beyond its wanted amount
    SharedShortage, ///< shrinks: all give by priority
    Idle,           ///< shrinks: nobody asked, but it has not wanted this memory for long
    NoFreeMemory,   ///< would grow, the host has nothing now
    CannotGrow,     ///< would grow, has nothing ballooned and its guest takes no hot-added memory
    NotReporting,   ///< no driver, or it does not answer
    Busy,           ///< an operation is under way
    AtFloor,        ///< the guest gave all it can for now
};
char const* text(Reason);
char const* text(MemoryStatus);

struct Order {
    enum class Kind : u8 { Hold, Balloon, GiveBack, HotAdd } kind = Kind::Hold;
    Reason reason = Reason::None;
    u64 pages = 0;
};

/// What the balancer remembers of a partition between ticks; zeroed when the partition starts.
struct PartitionMemory {
    u64 surplus_ticks = 0; ///< how long it has held a surplus
    u64 floor_ticks = 0;   ///< ticks since it gave less than asked and was not asked again
    u64 floor_wait = 0;    ///< how many of those it is left alone
    u64 floor_demand = 0;  ///< its demand when it gave less
    u64 settling = 0;      ///< not 0: it grew a moment ago
    u64 wanted = 0;        ///< wanted_pages() at the last tick
    // Working values of a tick.
    bool movable = false;  ///< it reports and answers
    bool can_give = false; ///< and may be asked for pages: does not grow, is not left alone
    u64 least = 0;         ///< the steps of a shortage: minimum,
    u64 demand = 0;        ///< demand,
    u64 goal = 0;          ///< wanted; all as far as its guest can go
    u64 entitled = 0;      ///< what it should have
    u64 tolerance = 0;     ///< lacking this much or less is nothing to act on
};

/// One partition's wanted amount. Pure. Never below minimum or above maximum.
u64 wanted_pages(PartitionView const&);
/// (assigned − demand) / assigned in percent, negative when short; 0 for nothing assigned.
s64 availability_percent(u64 assigned, u64 demand);
/// 100 × demand / assigned; 0 for nothing assigned.
u64 pressure_percent(u64 assigned, u64 demand);
MemoryStatus status(PartitionView const&);

/// What could be had for a claim beyond free memory, if every guest gave all it may: what everyone that
/// cooperates has above its minimum. A claim above free + this can never be met.
u64 reclaimable_pages(std::span<PartitionView const> views);

/// One tick.
/// @param views one per running partition, in ascending order of priority (least first; equal priorities in
/// any fixed order)
/// @param memory same length and order, kept by the caller from tick to tick
/// @param[out] orders same length and order
/// Errors: none. Context: host housekeeping, no locks held.
void balance(HostView const& host, std::span<PartitionView const> views, std::span<PartitionMemory> memory,
             std::span<Order> orders);
} // namespace hv::dm
