// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/point_table.hpp"
#include <algorithm>

namespace hv::debug {
namespace {
/// The first expression of @p list, which loses it. Empty when the lengths do not add up.
std::span<u8 const> take_expression(std::span<u8 const>& list) {
    if (list.size() < 2) {
        return {};
    }
    usize const bytes = static_cast<usize>(list[0]) << 8 | list[1];
    if (list.size() - 2 < bytes) {
        return {};
    }
    std::span<u8 const> const expression = list.subspan(2, bytes);
    list = list.subspan(2 + bytes);
    return expression;
}

bool well_formed(std::span<u8 const> list) {
    while (!list.empty()) {
        if (take_expression(list).empty()) {
            return false;
        }
    }
    return true;
}

bool valid(PointSpec const& spec) {
    // The last byte may be the last of the address space, not behind it.
    return spec.bytes != 0 && spec.bytes - 1 <= ~spec.address &&
           (spec.kind != PointKind::Execute || spec.bytes == 1);
}
} // namespace

unsigned PointTable::find(PointSpec const& spec) const {
    for (u64 set = used_; set != 0; set &= set - 1) {
        unsigned const index = static_cast<unsigned>(__builtin_ctzll(set));
        if (points_[index].spec == spec) {
            return index;
        }
    }
    return kNone;
}

Result<unsigned, PointTableError> PointTable::insert(PointSpec const& spec, std::span<u8 const> conditions) {
    if (!valid(spec)) {
        return Err{PointTableError::BadLength};
    }
    if (!well_formed(conditions)) {
        return Err{PointTableError::BadConditions};
    }
    unsigned index = find(spec);
    if (index == kNone) {
        if (~used_ == 0) {
            return Err{PointTableError::Full};
        }
        index = static_cast<unsigned>(__builtin_ctzll(~used_));
        points_[index] = {};
        points_[index].spec = spec;
        used_ |= 1ull << index;
        rebuild_chains();
    }
    Point& point = points_[index];
    drop_conditions(point);
    point.conditions_dropped = conditions.size() > kPoolBytes - pool_used_;
    if (!conditions.empty() && !point.conditions_dropped) {
        std::copy(conditions.begin(), conditions.end(), pool_ + pool_used_);
        point.conditions_first = pool_used_;
        point.conditions_bytes = static_cast<u16>(conditions.size());
        pool_used_ = static_cast<u16>(pool_used_ + conditions.size());
    }
    return index;
}

bool PointTable::remove(PointSpec const& spec) {
    unsigned const index = find(spec);
    if (index == kNone) {
        return false;
    }
    drop_conditions(points_[index]);
    used_ &= ~(1ull << index);
    rebuild_chains();
    return true;
}

void PointTable::clear() {
    used_ = 0;
    heads_used_ = 0;
    pool_used_ = 0;
}

/// Closes the gap that its conditions leave in the pool.
void PointTable::drop_conditions(Point& point) {
    u16 const first = point.conditions_first, bytes = point.conditions_bytes;
    point.conditions_bytes = 0;
    if (bytes == 0) {
        return;
    }
    std::copy(pool_ + first + bytes, pool_ + pool_used_, pool_ + first);
    pool_used_ = static_cast<u16>(pool_used_ - bytes);
    for_each_point(used_, [&](unsigned index) {
        Point& other = points_[index];
        if (other.conditions_bytes != 0 && other.conditions_first > first) {
            other.conditions_first = static_cast<u16>(other.conditions_first - bytes);
        }
    });
}

void PointTable::rebuild_chains() {
    heads_used_ = 0;
    for_each_point(used_, [&](unsigned index) {
        if (points_[index].spec.kind != PointKind::Execute) {
            return;
        }
        unsigned const slot = bucket(points_[index].spec.address);
        next_[index] = (heads_used_ >> slot & 1) != 0 ? heads_[slot] : static_cast<u8>(kNone);
        heads_[slot] = static_cast<u8>(index);
        heads_used_ |= 1ull << slot;
    });
}

u64 PointTable::execution_points_at(u64 linear) const {
    unsigned const slot = bucket(linear);
    u64 found = 0;
    if ((heads_used_ >> slot & 1) != 0) {
        for (unsigned index = heads_[slot]; index != kNone; index = next_[index]) {
            found |= points_[index].spec.address == linear ? 1ull << index : 0;
        }
    }
    return found;
}

u64 PointTable::watchpoints_at(u64 linear, u64 bytes, bool read, bool write) const {
    u64 found = 0;
    for_each_point(used_, [&](unsigned index) {
        PointSpec const& spec = points_[index].spec;
        bool const wanted = (spec.kind == PointKind::Write && write) ||
                            (spec.kind == PointKind::Read && read) ||
                            (spec.kind == PointKind::Access && (read || write));
        found |= wanted && spec.overlaps(linear, bytes) ? 1ull << index : 0;
    });
    return found;
}

bool PointTable::hit(unsigned index, AgentContext& context) {
    Point& point = points_[index];
    ++point.hits;
    std::span<u8 const> list{pool_ + point.conditions_first, point.conditions_bytes};
    if (list.empty()) {
        return true;
    }
    while (!list.empty()) {
        auto const value = evaluate(take_expression(list), context);
        if (!value.ok() || value.value() != 0) {
            return true;
        }
    }
    ++point.false_conditions;
    return false;
}
} // namespace hv::debug
