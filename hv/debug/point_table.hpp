// SPDX-License-Identifier: Apache-2.0
// The execution points and watchpoints of one partition with their conditions: what the debugger wants, not
// yet how it is had (placement.hpp).
#pragma once
#include "hv/base/result.hpp"
#include "hv/debug/agent_expression.hpp"

namespace hv::debug {
enum class PointKind : u8 {
    Execute, ///< before the instruction at `address`
    Write,   ///< after an access to any of `bytes` bytes
    Read,
    Access, ///< read or write
};

/// What a point is; two with the same values are the same point.
struct PointSpec {
    PointKind kind = PointKind::Execute;
    bool software = false; ///< Execute: inserted as Z0, and reported so. The mechanism is the same.
    u64 address = 0;       ///< linear
    u64 bytes = 1; ///< watchpoints: any length ≥ 1; it ends at the top of the address space. Execute: 1
    constexpr bool operator==(PointSpec const&) const = default;

    /// Whether @p count bytes at @p linear touch it. Counts nothing beyond the top of the address space.
    constexpr bool overlaps(u64 linear, u64 count) const {
        return linear - address < bytes || address - linear < count;
    }
};

struct Point {
    PointSpec spec;
    u64 hits = 0;                    ///< reached, whatever the condition said
    u64 false_conditions = 0;        ///< of these, how many were not reported
    u16 conditions_first = 0;        ///< in the table's pool
    u16 conditions_bytes = 0;        ///< 0: unconditional
    bool conditions_dropped = false; ///< there were some, but they did not fit
};

enum class PointTableError : u8 { Full, BadLength, BadConditions };

/// Points are named by index, 0 … 63: a set of them is a u64. Removing one does not rename others.
/// No locks: the caller serialises (points change only between two runs of the partition). About 12 KiB.
class PointTable {
  public:
    static constexpr unsigned kPoints = 64;
    static constexpr usize kPoolBytes = 8 * KiB;
    static constexpr unsigned kNone = kPoints;

    PointTable() = default;
    PointTable(PointTable const&) = delete;
    PointTable& operator=(PointTable const&) = delete;

    /// Inserts it, or replaces the conditions of the one that is there (its counters stay).
    /// @param conditions agent expressions, each behind its length as 2 bytes big-endian; empty:
    /// unconditional. The point is reported if one of them holds. They are copied; where the pool has no room
    /// left the point is unconditional, which GDB allows for. BadConditions: the lengths do not add up;
    /// nothing has changed.
    /// @return its index
    Result<unsigned, PointTableError> insert(PointSpec const&, std::span<u8 const> conditions);
    /// @return false when there is no such point
    bool remove(PointSpec const&);
    void clear();

    bool empty() const { return used_ == 0; }
    /// All points, as a set of indices.
    u64 used() const { return used_; }
    /// Points of kind Execute at @p linear, as a set: Z0 and Z1 may both be there. Some ten instructions.
    u64 execution_points_at(u64 linear) const;
    /// Watchpoints that @p bytes bytes at @p linear touch with such an access.
    u64 watchpoints_at(u64 linear, u64 bytes, bool read, bool write) const;
    Point const& operator[](unsigned index) const { return points_[index]; }

    /// Called for a point that was reached: counts, evaluates. @return whether to report it: unconditional,
    /// one of the conditions is not 0, or one could not be evaluated.
    bool hit(unsigned index, AgentContext&);

    usize pool_used() const { return pool_used_; }

  private:
    unsigned find(PointSpec const&) const;
    void drop_conditions(Point&);
    void rebuild_chains();
    static unsigned bucket(u64 linear) { return static_cast<unsigned>(linear ^ linear >> 6) % kPoints; }

    u64 used_ = 0;
    u64 heads_used_ = 0;     ///< which heads_ mean something
    u8 heads_[kPoints] = {}; ///< by bucket(): the first execution point
    u8 next_[kPoints] = {};  ///< by index; kNone ends it
    u16 pool_used_ = 0;
    Point points_[kPoints];
    u8 pool_[kPoolBytes] = {};
};

/// Calls f(index) for each index in @p set, ascending.
template <class F>
void for_each_point(u64 set, F f) {
    for (; set != 0; set &= set - 1) {
        f(static_cast<unsigned>(__builtin_ctzll(set)));
    }
}
} // namespace hv::debug
