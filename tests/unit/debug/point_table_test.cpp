// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/point_table.hpp"
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using namespace hv;
using namespace hv::debug;

namespace {
struct NoContext : AgentContext {
    bool read_register(u16 number, u64& value) override {
        value = number;
        return number < 16;
    }
    bool read_memory(u64, std::span<u8>) override { return false; }
};
using List = std::vector<u8>;

PointSpec at(u64 address) {
    return {.address = address};
}
PointSpec watch(PointKind kind, u64 address, u64 bytes) {
    return {kind, false, address, bytes};
}
/// A list of expressions that are constants.
List constants(std::initializer_list<u8> values) {
    List list;
    for (u8 v : values)
        list.insert(list.end(), {0, 3, 0x22, v, 0x27});
    return list;
}
/// One expression of @p bytes bytes with the value @p value.
List padded(usize bytes, u8 value) {
    List list{static_cast<u8>(bytes >> 8), static_cast<u8>(bytes)};
    for (usize i = 0; i < (bytes - 3) / 3; ++i)
        list.insert(list.end(), {0x22, 1, 0x29});
    list.insert(list.end(), {0x22, value, 0x27});
    list.resize(bytes + 2, 0x27);
    return list;
}
struct Bed {
    std::unique_ptr<PointTable> owner = std::make_unique<PointTable>();
    PointTable& table = *owner;
    NoContext context;
    unsigned insert(PointSpec const& spec, List const& conditions = {}) {
        auto const r = table.insert(spec, conditions);
        REQUIRE(r.ok());
        return r.value();
    }
};
} // namespace

TEST_CASE("an execution point is found at its address and nowhere else", "[debug]") {
    Bed bed;
    unsigned const i = bed.insert(at(0x1000));
    CHECK(bed.table.execution_points_at(0x1000) == 1ull << i);
    CHECK(bed.table.execution_points_at(0x1001) == 0);
    bed.insert(watch(PointKind::Write, 0x2000, 4));
    CHECK(bed.table.execution_points_at(0x2000) == 0);
    CHECK(bed.table[i].spec == at(0x1000));
}

TEST_CASE("inserting a point again changes its conditions only", "[debug]") {
    Bed bed;
    unsigned const i = bed.insert(at(0x1000), constants({0}));
    CHECK(!bed.table.hit(i, bed.context));
    CHECK(bed.insert(at(0x1000), constants({1})) == i);
    CHECK(bed.table.used() == 1ull << i);
    CHECK(bed.table.hit(i, bed.context));
    CHECK(bed.insert(at(0x1000)) == i);
    CHECK(bed.table.pool_used() == 0);
    CHECK(bed.table[i].hits == 2);
    CHECK(bed.table[i].false_conditions == 1);
}

TEST_CASE("software and hardware breakpoints at one address are two points", "[debug]") {
    Bed bed;
    PointSpec const software{PointKind::Execute, true, 0x1000, 1};
    unsigned const a = bed.insert(at(0x1000)), b = bed.insert(software);
    CHECK(a != b);
    CHECK(bed.table.execution_points_at(0x1000) == (1ull << a | 1ull << b));
    CHECK(bed.table.remove(at(0x1000)));
    CHECK(bed.table.execution_points_at(0x1000) == 1ull << b);
    CHECK(!bed.table.remove(at(0x1000)));
}

TEST_CASE("there is room for 64 points, and for another when one is gone", "[debug]") {
    Bed bed;
    for (u64 i = 0; i < PointTable::kPoints; ++i)
        bed.insert(at(0x1000 * i));
    auto const r = bed.table.insert(at(0x999), {});
    REQUIRE(!r.ok());
    CHECK(r.error() == PointTableError::Full);
    CHECK(bed.table.insert(at(0x5000), {}).ok()); // it is there already
    CHECK(bed.table.remove(at(0x7000)));
    CHECK(bed.insert(at(0x999)) == 7);
    for (u64 i = 0; i < PointTable::kPoints; ++i) {
        CHECK(bed.table.execution_points_at(0x1000 * i) == (i == 7 ? 0 : 1ull << i));
    }
    CHECK(bed.table.execution_points_at(0x999) == 1ull << 7);
    bed.table.clear();
    CHECK(bed.table.empty());
    CHECK(bed.table.execution_points_at(0x5000) == 0);
}

TEST_CASE("a point with several conditions is reported if one holds", "[debug]") {
    Bed bed;
    unsigned const i = bed.insert(at(1), constants({0, 0, 5}));
    CHECK(bed.table.hit(i, bed.context));
    bed.insert(at(1), constants({0, 0, 0}));
    CHECK(!bed.table.hit(i, bed.context));
}

TEST_CASE("a condition that cannot be evaluated reports the point", "[debug]") {
    Bed bed;
    unsigned const i = bed.insert(at(1), {0, 4, 0x26, 0x01, 0x00, 0x27}); // register 256
    CHECK(bed.table.hit(i, bed.context));
    CHECK(bed.table[i].false_conditions == 0);
}

TEST_CASE("a list whose lengths do not add up changes nothing", "[debug]") {
    Bed bed;
    unsigned const i = bed.insert(at(1), constants({0}));
    for (List const& bad : {List{0}, List{0, 0}, List{0, 2, 0x27}, List{0xff, 0xff, 0x27}}) {
        auto const r = bed.table.insert(at(1), bad);
        REQUIRE(!r.ok());
        CHECK(r.error() == PointTableError::BadConditions);
        CHECK(!bed.table.hit(i, bed.context));
    }
}

TEST_CASE("conditions keep their place when others go", "[debug]") {
    Bed bed;
    unsigned const a = bed.insert(at(1), constants({0})), b = bed.insert(at(2), padded(100, 0)),
                   c = bed.insert(at(3), constants({7}));
    CHECK(bed.table.remove(at(2)));
    CHECK(bed.table.pool_used() == 10);
    CHECK(!bed.table.hit(a, bed.context));
    CHECK(bed.table.hit(c, bed.context));
    bed.insert(at(1), constants({3}));
    CHECK(bed.table.hit(a, bed.context));
    CHECK(bed.insert(at(4), constants({0})) == b);
    CHECK(!bed.table.hit(b, bed.context));
    CHECK(bed.table.hit(c, bed.context));
}

TEST_CASE("a point whose conditions do not fit is unconditional", "[debug]") {
    Bed bed;
    for (u64 i = 0; i < 8; ++i)
        bed.insert(at(i), padded(1020, 0));
    CHECK(bed.table.pool_used() == 8 * 1022);
    unsigned const i = bed.insert(at(100), padded(100, 0));
    CHECK(bed.table[i].conditions_dropped);
    CHECK(bed.table.hit(i, bed.context));
    bed.table.remove(at(3));
    bed.insert(at(100), padded(100, 0));
    CHECK(!bed.table[i].conditions_dropped);
    CHECK(!bed.table.hit(i, bed.context));
    // Replacing gives its own room back first.
    bed.insert(at(4), padded(1020, 0));
    CHECK(!bed.table[4].conditions_dropped);
}

TEST_CASE("watchpoints see the accesses that touch them", "[debug]") {
    Bed bed;
    u64 const w = 1ull << bed.insert(watch(PointKind::Write, 0x1000, 4)),
              r = 1ull << bed.insert(watch(PointKind::Read, 0x1000, 4)),
              a = 1ull << bed.insert(watch(PointKind::Access, 0x1002, 100));
    CHECK(bed.table.watchpoints_at(0x1000, 1, false, true) == w);
    CHECK(bed.table.watchpoints_at(0x1000, 1, true, false) == r);
    CHECK(bed.table.watchpoints_at(0x1000, 8, true, true) == (w | r | a));
    CHECK(bed.table.watchpoints_at(0xffc, 4, true, true) == 0);
    CHECK(bed.table.watchpoints_at(0xffc, 5, true, true) == (w | r));
    CHECK(bed.table.watchpoints_at(0x1065, 1, true, false) == a);
    CHECK(bed.table.watchpoints_at(0x1066, 1, true, false) == 0);
    CHECK(bed.table.watchpoints_at(0x1004, 1, false, false) == 0);
}

TEST_CASE("lengths go up to the end of the address space", "[debug]") {
    Bed bed;
    bed.insert(watch(PointKind::Write, ~0ull, 1));
    bed.insert(watch(PointKind::Write, 0xffff'ffff'ffff'f000, 0x1000));
    CHECK(!bed.table.insert(watch(PointKind::Write, ~0ull, 2), {}).ok());
    CHECK(!bed.table.insert(watch(PointKind::Write, 5, ~0ull), {}).ok());
    CHECK(!bed.table.insert(watch(PointKind::Write, 5, 0), {}).ok());
    CHECK(!bed.table.insert({PointKind::Execute, false, 5, 2}, {}).ok());
    CHECK(bed.table.watchpoints_at(~0ull, 1, false, true) == 3);
    CHECK(bed.table.watchpoints_at(0, 8, false, true) == 0);
}
