// SPDX-License-Identifier: Apache-2.0
// Every case over both formats. The store is watched: after each single write of an entry a processor that
// looks must see no wrong translation.
#include "hv/mm/nested_table_body.hpp"
#include "tests/fakes/arena_frames.hpp"
#include "tests/unit/mm/nested_walk.hpp"
#include <catch2/catch.hpp>
#include <functional>
#include <random>

using namespace hv;
using namespace hv::mm;
using hv::test::ArenaFrames;
using hv::test::Translation;

namespace {
struct WatchedStore {
    inline static std::function<void()> after;
    inline static u64 writes = 0;
    static void store(u64& entry, u64 value) {
        entry = value;
        ++writes;
        if (after) {
            after();
        }
    }
};
struct Ept {
    static constexpr NestedFormat const& kFormat = kEptFormat;
    using Rules = hv::test::EptRules;
};
struct Npt {
    static constexpr NestedFormat const& kFormat = kNptFormat;
    using Rules = hv::test::NptRules;
};

template <class V>
struct Bed {
    explicit Bed(usize tables = 600) : frames{tables}, map{V::kFormat, frames} { REQUIRE(map.valid()); }
    ~Bed() { WatchedStore::after = nullptr; }
    std::optional<Translation> at(u64 gpa) {
        return hv::test::walk<typename V::Rules>(frames, map.root(), gpa);
    }
    /// Runs @p change and checks after every write that each of @p points is as before or as after it, and,
    /// where @p hole_allowed, possibly absent in between.
    template <class F>
    void watched(std::vector<u64> const& points, bool hole_allowed, F&& change) {
        std::vector<std::optional<Translation>> before, now;
        std::vector<std::vector<std::optional<Translation>>> history(points.size());
        for (u64 p : points) {
            before.push_back(at(p));
        }
        u64 const writes = WatchedStore::writes;
        WatchedStore::after = [&] {
            for (usize i = 0; i < points.size(); ++i) {
                history[i].push_back(at(points[i]));
            }
        };
        change();
        WatchedStore::after = nullptr;
        CHECK(WatchedStore::writes > writes); // otherwise nothing was watched
        for (usize i = 0; i < points.size(); ++i) {
            auto const after = at(points[i]);
            for (auto const& seen : history[i]) {
                bool const fine = seen == before[i] || seen == after || (hole_allowed && !seen);
                REQUIRE(fine);
            }
        }
    }

    ArenaFrames frames;
    NestedTable<WatchedStore> map;
};
constexpr Translation kAll(u64 page) {
    return {page, 7};
}
constexpr Access kRwx = Access::RWX;
} // namespace

#define BOTH(name) TEMPLATE_TEST_CASE(name, "[mm][nested]", Ept, Npt)

BOTH("leaves of all three sizes translate every page in them and none beside") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0x5000}, Hpa{0x9000}, kPageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{4 * MiB}, Hpa{6 * MiB}, kLargePageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{3 * GiB}, Hpa{7 * GiB}, kHugePageBytes, kRwx).ok());
    CHECK(b.at(0x5123) == kAll(0x9000));
    CHECK_FALSE(b.at(0x4fff));
    CHECK_FALSE(b.at(0x6000));
    CHECK(b.at(4 * MiB) == kAll(6 * MiB));
    CHECK(b.at(6 * MiB - 1) == kAll(8 * MiB - kPageBytes));
    CHECK_FALSE(b.at(6 * MiB));
    CHECK(b.at(4 * GiB - 1) == kAll(8 * GiB - kPageBytes));
    CHECK_FALSE(b.at(4 * GiB));
    CHECK_FALSE(b.at(3 * GiB - 1));
    NestedCounts const& c = b.map.counts();
    CHECK((c.leaves_4k == 1 && c.leaves_2m == 1 && c.leaves_1g == 1));
    CHECK(c.table_frames == b.frames.live());
    auto const leaf = b.map.lookup(Gpa{4 * MiB + 0x3456});
    REQUIRE(leaf.ok());
    CHECK((leaf.value().gpa == Gpa{4 * MiB} && leaf.value().hpa == Hpa{6 * MiB}));
    CHECK(leaf.value().bytes == kLargePageBytes);
    CHECK_FALSE(b.map.lookup(Gpa{0x6000}).ok());
    CHECK_FALSE(b.map.lookup(Gpa{1ull << 48}).ok());
    CHECK_FALSE(b.map.lookup(Gpa{~0ull}).ok());
}

BOTH("access rights are kept, and read goes with any") {
    Bed<TestType> b;
    u64 gpa = 0;
    for (Access a : {Access::R, Access::RW, Access::RX, Access::RWX, Access::W, Access::X}) {
        REQUIRE(b.map.map(Gpa{gpa}, Hpa{gpa}, kPageBytes, a).ok());
        CHECK(b.at(gpa)->access == (static_cast<u8>(a) | 1));
        CHECK(b.map.lookup(Gpa{gpa}).value().access == (a | Access::R));
        gpa += kPageBytes;
    }
}

BOTH("what is mapped is not mapped over, at any size") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{2 * MiB + 0x3000}, Hpa{0x3000}, kPageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{4 * MiB}, Hpa{4 * MiB}, kLargePageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{1 * GiB}, kHugePageBytes, kRwx).ok());
    u64 const live = b.frames.live(), generation = b.map.generation();
    auto const refused = [&](u64 gpa, u64 bytes) {
        auto const r = b.map.map(Gpa{gpa}, Hpa{8 * GiB}, bytes, kRwx);
        return !r.ok() && r.error() == NestedError::AlreadyMapped;
    };
    CHECK(refused(2 * MiB + 0x3000, kPageBytes));
    CHECK(refused(2 * MiB, kLargePageBytes));
    CHECK(refused(0, kHugePageBytes));
    CHECK(refused(4 * MiB + 0x7000, kPageBytes));
    CHECK(refused(4 * MiB, kLargePageBytes));
    CHECK(refused(1 * GiB + 2 * MiB, kLargePageBytes));
    CHECK(refused(1 * GiB + 0x1000, kPageBytes));
    CHECK(b.frames.live() == live);
    CHECK(b.map.generation() == generation);
}

BOTH("mapping shows nothing or the new page, never another") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0x1000}, Hpa{0x1000}, kPageBytes, kRwx).ok());
    std::vector<u64> const points{0x0000, 0x1000, 0x2000, 2 * MiB, 1 * GiB, 513 * GiB, 513 * GiB + 0x1000};
    b.watched(points, false, [&] { REQUIRE(b.map.map(Gpa{0x2000}, Hpa{0xa000}, kPageBytes, kRwx).ok()); });
    b.watched(points, false, [&] { REQUIRE(b.map.map(Gpa{513 * GiB}, Hpa{0xb000}, kPageBytes, kRwx).ok()); });
    b.watched(points, false,
              [&] { REQUIRE(b.map.map(Gpa{2 * MiB}, Hpa{4 * MiB}, kLargePageBytes, kRwx).ok()); });
    b.watched(points, false,
              [&] { REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{2 * GiB}, kHugePageBytes, kRwx).ok()); });
}

BOTH("a map without frames changes nothing, whichever table is missing") {
    for (usize allowed = 1; allowed < 4; ++allowed) {
        Bed<TestType> b{allowed};
        auto const r = b.map.map(Gpa{0x1000}, Hpa{0x1000}, kPageBytes, kRwx);
        REQUIRE_FALSE(r.ok());
        CHECK(r.error() == NestedError::OutOfFrames);
        CHECK(b.frames.live() == 1);
        CHECK(b.map.counts().leaves_4k == 0);
        CHECK(b.map.counts().table_frames == 1);
        CHECK_FALSE(b.at(0x1000));
        // One table is enough for 1 GiB.
        CHECK((allowed < 2 || b.map.map(Gpa{0}, Hpa{0}, kHugePageBytes, kRwx).ok()));
    }
}

BOTH("splitting and joining are invisible to the guest") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{5 * GiB}, kHugePageBytes, Access::RW).ok());
    std::vector<u64> points{1 * GiB - 1,       1 * GiB,
                            1 * GiB + 0x1000,  1 * GiB + 2 * MiB - 1,
                            1 * GiB + 2 * MiB, 1 * GiB + 777 * kPageBytes,
                            2 * GiB - 1,       2 * GiB};
    u64 const start = b.frames.live();
    b.watched(points, false, [&] { REQUIRE(b.map.split(Gpa{1 * GiB + 0x5000}, kLargePageBytes).ok()); });
    CHECK(b.map.counts().leaves_2m == 512);
    b.watched(points, false, [&] { REQUIRE(b.map.split(Gpa{1 * GiB + 0x5000}, kPageBytes).ok()); });
    CHECK((b.map.counts().leaves_4k == 512 && b.map.counts().leaves_2m == 511));
    CHECK(b.map.counts().splits == 2);
    REQUIRE(b.map.split(Gpa{1 * GiB}, kPageBytes).ok()); // already small
    CHECK(b.map.counts().splits == 2);
    CHECK(b.frames.live() == start + 2);
    CHECK_FALSE(b.map.try_join(Gpa{1 * GiB + 4 * MiB})); // one of its neighbours is still in pieces
    u64 const generation = b.map.generation();
    b.watched(points, false, [&] { REQUIRE(b.map.try_join(Gpa{1 * GiB + 0x1000})); });
    CHECK(b.map.generation() > generation); // the table that was freed may be cached
    b.watched(points, false, [&] { REQUIRE(b.map.try_join(Gpa{1 * GiB})); });
    CHECK_FALSE(b.map.try_join(Gpa{1 * GiB}));
    CHECK(b.map.counts().leaves_1g == 1);
    CHECK(b.map.counts().joins == 2);
    CHECK(b.frames.live() == start);
    CHECK(b.at(1 * GiB) == Translation{5 * GiB, 3});
    // In one go, from 1 GiB to 4 KiB.
    b.watched(points, false, [&] { REQUIRE(b.map.split(Gpa{1 * GiB + 2 * MiB}, kPageBytes).ok()); });
    CHECK(b.frames.live() == start + 2);
    CHECK_FALSE(b.map.split(Gpa{3 * GiB}, kPageBytes).ok());
}

BOTH("a split without frames changes nothing") {
    Bed<TestType> b{3};
    REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{5 * GiB}, kHugePageBytes, kRwx).ok());
    auto const r = b.map.split(Gpa{1 * GiB}, kPageBytes); // needs two, has one
    REQUIRE_FALSE(r.ok());
    CHECK(r.error() == NestedError::OutOfFrames);
    CHECK(b.map.counts().leaves_1g == 1);
    CHECK(b.frames.live() == 2);
    CHECK(b.map.split(Gpa{1 * GiB}, kLargePageBytes).ok());
}

BOTH("join refuses a gap, another frame, other rights and a misaligned start") {
    auto const fill = [](auto& b, u64 first_hpa) {
        for (u64 i = 0; i < 512; ++i) {
            REQUIRE(b.map.map(Gpa{i * kPageBytes}, Hpa{first_hpa + i * kPageBytes}, kPageBytes, kRwx).ok());
        }
    };
    Bed<TestType> b;
    fill(b, 8 * MiB);
    REQUIRE(b.map.unmap(Gpa{0x7000}, kPageBytes).ok());
    CHECK_FALSE(b.map.try_join(Gpa{0}));
    REQUIRE(b.map.map(Gpa{0x7000}, Hpa{64 * MiB}, kPageBytes, kRwx).ok());
    CHECK_FALSE(b.map.try_join(Gpa{0}));
    REQUIRE(b.map.unmap(Gpa{0x7000}, kPageBytes).ok());
    REQUIRE(b.map.map(Gpa{0x7000}, Hpa{8 * MiB + 0x7000}, kPageBytes, Access::RX).ok());
    CHECK_FALSE(b.map.try_join(Gpa{0}));
    REQUIRE(b.map.unmap(Gpa{0x7000}, kPageBytes).ok());
    REQUIRE(b.map.map(Gpa{0x7000}, Hpa{8 * MiB + 0x7000}, kPageBytes, kRwx).ok());
    CHECK(b.map.try_join(Gpa{0}));
    CHECK(b.at(0x7000) == kAll(8 * MiB + 0x7000));
    Bed<TestType> other;
    fill(other, 8 * MiB + kPageBytes);
    CHECK_FALSE(other.map.try_join(Gpa{0}));
    CHECK_FALSE(other.map.try_join(Gpa{1 * GiB}));
    CHECK_FALSE(other.map.try_join(Gpa{~0ull}));
}

BOTH("what the processor noted survives split and join") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0}, Hpa{0}, kLargePageBytes, kRwx).ok());
    REQUIRE(b.map.split(Gpa{0}, kPageBytes).ok());
    // Play processor: mark one small leaf accessed and dirty.
    u64 table = b.map.root().raw;
    for (int level = 0; level < 3; ++level) {
        table = static_cast<u64*>(b.frames.pointer(Hpa{table}))[0] & 0x000f'ffff'ffff'f000;
    }
    static_cast<u64*>(b.frames.pointer(Hpa{table}))[5] |= TestType::kFormat.flags_mask();
    CHECK(b.map.lookup(Gpa{0x5000}).value().dirty);
    CHECK_FALSE(b.map.lookup(Gpa{0x6000}).value().accessed);
    REQUIRE(b.map.try_join(Gpa{0}));
    CHECK(b.map.lookup(Gpa{0}).value().dirty);
    CHECK(b.map.lookup(Gpa{0}).value().accessed);
    REQUIRE(b.map.split(Gpa{0}, kPageBytes).ok());
    CHECK(b.map.lookup(Gpa{0x6000}).value().dirty);
}

BOTH("unmap cuts large leaves at both ends and leaves the neighbours alone") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0}, Hpa{8 * GiB}, kHugePageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{16 * GiB}, kHugePageBytes, kRwx).ok());
    u64 const begin = 5 * kPageBytes, end = 1 * GiB + 3 * kPageBytes;
    std::vector<u64> const outside{0, begin - 1, end, 1 * GiB + 2 * MiB, 2 * GiB - 1};
    std::vector<u64> const inside{begin, 2 * MiB, 700 * MiB, 1 * GiB - 1, 1 * GiB, end - 1};
    std::vector<u64> all = outside;
    all.insert(all.end(), inside.begin(), inside.end());
    u64 const generation = b.map.generation();
    std::vector<std::optional<Translation>> before;
    for (u64 p : outside) {
        before.push_back(b.at(p));
    }
    b.watched(all, true, [&] { REQUIRE(b.map.unmap(Gpa{begin}, end - begin).ok()); });
    CHECK(b.map.generation() > generation);
    for (usize i = 0; i < outside.size(); ++i) {
        CHECK(b.at(outside[i]) == before[i]);
    }
    for (u64 p : inside) {
        CHECK_FALSE(b.at(p));
    }
    CHECK(b.map.counts().leaves_4k == 5 + 509);
    REQUIRE(b.map.unmap(Gpa{0}, 2 * GiB).ok());
    CHECK(b.frames.live() == 1); // empty tables are gone
    CHECK(b.map.counts().table_frames == 1);
    u64 const idle = b.map.generation();
    REQUIRE(b.map.unmap(Gpa{0}, 1ull << 48).ok());
    CHECK(b.map.generation() == idle); // nothing removed, nothing to flush
}

BOTH("unmap inside one large leaf takes exactly the tables it needs, or nothing") {
    struct Case {
        u64 begin, end;
        usize tables;
    };
    for (Case const c :
         {Case{0x1000, 0x3000, 2}, Case{0x1000, 2 * MiB, 2}, Case{0, 0x1000, 2}, Case{2 * MiB, 4 * MiB, 1},
          Case{0x1000, 4 * MiB + 0x1000, 3}, Case{2 * MiB, 5 * MiB, 2}, Case{1 * MiB, 4 * MiB, 2},
          Case{1 * GiB - 0x1000, 1 * GiB, 2}}) {
        Bed<TestType> b;
        REQUIRE(b.map.map(Gpa{0}, Hpa{8 * GiB}, kHugePageBytes, kRwx).ok());
        b.frames.limit = b.frames.live() + c.tables - 1;
        auto const refused = b.map.unmap(Gpa{c.begin}, c.end - c.begin);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error() == NestedError::OutOfFrames);
        CHECK(b.map.counts().leaves_1g == 1);
        CHECK(b.map.counts().splits == 0);
        CHECK(b.at(c.begin) == kAll(8 * GiB + c.begin));
        CHECK(b.frames.live() == 2);
        ++b.frames.limit;
        CHECK(b.map.unmap(Gpa{c.begin}, c.end - c.begin).ok());
        CHECK_FALSE(b.at(c.begin));
        CHECK_FALSE(b.at(c.end - 1));
        CHECK((c.end == 1 * GiB || b.at(c.end) == kAll(8 * GiB + c.end)));
    }
}

BOTH("take tells of every leaf it removed, once and in order") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0x3000}, Hpa{0x3000}, kPageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{0x5000}, Hpa{0x7000}, kPageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{2 * MiB}, Hpa{4 * MiB}, kLargePageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{4 * MiB}, Hpa{8 * MiB}, kLargePageBytes, kRwx).ok());
    REQUIRE(b.map.map(Gpa{1 * GiB}, Hpa{1 * GiB}, kHugePageBytes, kRwx).ok());
    std::vector<NestedLeaf> seen;
    auto const note = [](void* c, NestedLeaf const& leaf) {
        static_cast<std::vector<NestedLeaf>*>(c)->push_back(leaf);
    };
    REQUIRE(b.map.take(Gpa{0x4000}, 2 * GiB - 0x4000, note, &seen).ok());
    REQUIRE(seen.size() == 4);
    CHECK((seen[0].gpa.raw == 0x5000 && seen[0].hpa.raw == 0x7000 && seen[0].bytes == kPageBytes));
    CHECK((seen[1].gpa.raw == 2 * MiB && seen[1].hpa.raw == 4 * MiB));
    CHECK((seen[2].gpa.raw == 4 * MiB && seen[2].bytes == kLargePageBytes));
    CHECK((seen[3].gpa.raw == 1 * GiB && seen[3].bytes == kHugePageBytes));
    CHECK(b.at(0x3000) == kAll(0x3000));
}

BOTH("a guard narrows one page for the processor and stays a leaf for us") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0}, Hpa{8 * GiB}, kHugePageBytes, kRwx).ok());
    NestedCounts const before = b.map.counts();
    std::vector<u64> const points{0, 0x0fff, 0x1000, 0x1fff, 0x2000, 2 * MiB, 1 * GiB - 1};
    b.watched(points, false, [&] { REQUIRE(b.map.guard(Gpa{0x1000}, Access::R).ok()); });
    CHECK((b.map.counts().leaves_4k == 512 && b.map.counts().leaves_2m == 511));
    CHECK(b.at(0xfff) == kAll(8 * GiB));
    CHECK(b.at(0x2000) == kAll(8 * GiB + 0x2000));
    u64 const splits = b.map.counts().splits;
    // Every set of rights, from every other; the marked leaf keeps its frame.
    for (u8 from = 0; from < 8; ++from) {
        for (u8 to = 0; to < 8; ++to) {
            CAPTURE(+from, +to);
            REQUIRE(b.map.guard(Gpa{0x1000}, static_cast<Access>(from)).ok());
            u64 const generation = b.map.generation();
            b.watched(points, false,
                      [&] { REQUIRE(b.map.guard(Gpa{0x1000}, static_cast<Access>(to)).ok()); });
            u8 const had = (from & 1) != 0 ? from : 0, has = (to & 1) != 0 ? to : 0;
            auto const seen = b.at(0x1000);
            CHECK(seen.has_value() == (has != 0));
            CHECK((!seen || *seen == Translation{8 * GiB + 0x1000, has}));
            CHECK((b.map.generation() > generation) == ((had & ~has) != 0));
            NestedLeaf const leaf = b.map.lookup(Gpa{0x1234}).value();
            CHECK((leaf.guarded && leaf.hpa == Hpa{8 * GiB + 0x1000} && leaf.bytes == kPageBytes));
            CHECK(leaf.access == static_cast<Access>(has));
        }
    }
    CHECK(b.map.counts().splits == splits);
    // Without rights too it is mapped: not mapped over, not joined, taken with its frame.
    REQUIRE(b.map.guard(Gpa{0x1000}, Access::None).ok());
    CHECK(b.map.map(Gpa{0x1000}, Hpa{0}, kPageBytes, kRwx).error() == NestedError::AlreadyMapped);
    CHECK_FALSE(b.map.try_join(Gpa{0}));
    REQUIRE(b.map.guard(Gpa{0x1000}, kRwx).ok());
    CHECK_FALSE(b.map.try_join(Gpa{0})); // open, but guarded
    SECTION("unguarded and joined, everything is as before") {
        CHECK_FALSE(b.map.unguard(Gpa{0x2000}));
        CHECK_FALSE(b.map.unguard(Gpa{4 * MiB}));
        CHECK_FALSE(b.map.unguard(Gpa{2 * GiB}));
        CHECK_FALSE(b.map.unguard(Gpa{~0ull}));
        u64 const generation = b.map.generation();
        b.watched(points, false, [&] { REQUIRE(b.map.unguard(Gpa{0x1000})); });
        CHECK(b.map.generation() == generation);
        CHECK_FALSE(b.map.unguard(Gpa{0x1000}));
        REQUIRE(b.map.try_join(Gpa{0}));
        REQUIRE(b.map.try_join(Gpa{0}));
        CHECK(b.map.counts().leaves_1g == 1);
        CHECK(b.map.counts().table_frames == before.table_frames);
        CHECK(b.at(0x1000) == kAll(8 * GiB + 0x1000));
    }
    SECTION("taken, it is told of with its frame and gone") {
        REQUIRE(b.map.guard(Gpa{0x1000}, Access::None).ok());
        std::vector<NestedLeaf> seen;
        auto const note = [](void* c, NestedLeaf const& leaf) {
            static_cast<std::vector<NestedLeaf>*>(c)->push_back(leaf);
        };
        REQUIRE(b.map.take(Gpa{0x1000}, kPageBytes, note, &seen).ok());
        REQUIRE(seen.size() == 1);
        CHECK((seen[0].guarded && seen[0].hpa == Hpa{8 * GiB + 0x1000} && seen[0].access == Access::None));
        CHECK_FALSE(b.map.lookup(Gpa{0x1000}).ok());
        REQUIRE(b.map.map(Gpa{0x1000}, Hpa{0x7000}, kPageBytes, kRwx).ok());
        CHECK_FALSE(b.map.lookup(Gpa{0x1000}).value().guarded);
    }
}

BOTH("a whole table of guarded pages that look alike is not joined") {
    Bed<TestType> b;
    REQUIRE(b.map.map(Gpa{0}, Hpa{8 * GiB}, kLargePageBytes, kRwx).ok());
    for (u64 gpa = 0; gpa < kLargePageBytes; gpa += kPageBytes) {
        REQUIRE(b.map.guard(Gpa{gpa}, Access::None).ok());
    }
    CHECK_FALSE(b.map.try_join(Gpa{0}));
    u64 leaves = 0;
    b.map.for_each([](void* n, NestedLeaf const& leaf) { *static_cast<u64*>(n) += leaf.guarded; }, &leaves);
    CHECK(leaves == 512);
    REQUIRE(b.map.unmap(Gpa{0}, kLargePageBytes).ok());
    CHECK(b.frames.live() == 1);
}

BOTH("a guard without a table frame, or where nothing is, changes nothing") {
    Bed<TestType> b{3};
    CHECK(b.map.guard(Gpa{0}, Access::R).error() == NestedError::NotMapped);
    CHECK(b.map.guard(Gpa{1ull << 48}, Access::R).error() == NestedError::NotMapped);
    REQUIRE(b.map.map(Gpa{0}, Hpa{5 * GiB}, kHugePageBytes, kRwx).ok());
    CHECK(b.map.guard(Gpa{0}, Access::None).error() == NestedError::OutOfFrames); // needs two, has one
    CHECK(b.map.counts().leaves_1g == 1);
    CHECK(b.frames.live() == 2);
    CHECK(b.at(0) == kAll(5 * GiB));
}

BOTH("visiting reports each leaf and each table frame once, in order") {
    Bed<TestType> b;
    std::vector<u64> const pages{
        0, 0x1000, 2 * MiB - 0x1000, 1 * GiB - 0x1000, 511 * GiB, 513 * GiB + 2 * MiB + 0x3000};
    for (u64 p : pages) {
        REQUIRE(b.map.map(Gpa{p}, Hpa{p}, kPageBytes, kRwx).ok());
    }
    REQUIRE(b.map.map(Gpa{(1ull << 48) - kHugePageBytes}, Hpa{0}, kHugePageBytes, kRwx).ok());
    std::vector<u64> seen;
    b.map.for_each(
        [](void* c, NestedLeaf const& l) { static_cast<std::vector<u64>*>(c)->push_back(l.gpa.raw); }, &seen);
    std::vector<u64> expected = pages;
    expected.push_back((1ull << 48) - kHugePageBytes);
    CHECK(seen == expected);
    std::set<u64> tables;
    b.map.for_each_table(
        [](void* c, Hpa t) { REQUIRE(static_cast<std::set<u64>*>(c)->insert(t.raw).second); }, &tables);
    CHECK(tables.size() == b.frames.live());
    CHECK(tables.size() == b.map.counts().table_frames);
}

BOTH("the object lives in frames of its source and gives all of them back") {
    ArenaFrames frames{64};
    NestedMap* const map = create_nested_table(TestType::kFormat, frames);
    REQUIRE(map != nullptr);
    for (u64 i = 0; i < 10; ++i) {
        REQUIRE(map->map(Gpa{i * GiB}, Hpa{i * kPageBytes}, kPageBytes, kRwx).ok());
    }
    CHECK(frames.live() == 1 + map->counts().table_frames);
    destroy_nested_table(map, frames);
    CHECK(frames.live() == 0);
    for (usize allowed : {0, 1}) {
        ArenaFrames few{2};
        few.limit = allowed;
        CHECK(create_nested_table(TestType::kFormat, few) == nullptr);
        CHECK(few.live() == 0);
    }
}

BOTH("a random life agrees with a plain array") {
    constexpr u64 kPages = (1 * GiB + 16 * MiB) / kPageBytes;
    Bed<TestType> b{40};
    constexpr u64 kGuarded = 8;
    std::vector<u64> model(kPages, 0); // page address | kGuarded | access, 0 = not mapped
    std::set<u64> guarded;
    std::mt19937_64 random{2024};
    auto const check = [&] {
        std::vector<u64> seen(kPages, 0);
        b.map.for_each(
            [](void* c, NestedLeaf const& l) {
                for (u64 i = 0; i < l.bytes / kPageBytes; ++i) {
                    (*static_cast<std::vector<u64>*>(c))[l.gpa.pfn() + i] = (l.hpa.raw + i * kPageBytes) |
                                                                            static_cast<u64>(l.access) |
                                                                            (l.guarded ? kGuarded : 0);
                }
            },
            &seen);
        REQUIRE(seen == model);
        REQUIRE(b.map.counts().table_frames == b.frames.live());
    };
    // Addresses cluster so that operations meet: inside the first 8 MiB, around 1 GiB, or anywhere.
    auto const pick = [&](u64 align) {
        u64 const base = random() % 3 == 0 ? 0 : random() % 2 ? kHugePageBytes - 8 * MiB : random() % GiB;
        return align_down(base + random() % (16 * MiB), align);
    };
    unsigned refused = 0, done = 0, joins = 0, guards = 0;
    for (int step = 0; step < 6000; ++step) {
        b.frames.limit = random() % 4 == 0 ? b.frames.live() + random() % 3 : 40;
        u64 const size = std::array{kPageBytes, kPageBytes, kLargePageBytes,
                                    kHugePageBytes}[random() % (step % 100 < 50 ? 3 : 4)];
        bool ok = false;
        switch (random() % 6) {
        case 0:
        case 1: {
            u64 const gpa = size == kHugePageBytes ? 0 : pick(size), page = gpa / kPageBytes,
                      n = size / kPageBytes;
            // Half of the time the identity, so that joins become possible.
            u64 const hpa = random() % 2 ? 8 * GiB + gpa : align_down(random() % (32 * GiB), size);
            ok = b.map.map(Gpa{gpa}, Hpa{hpa}, size, kRwx).ok();
            for (u64 i = 0; ok && i < n; ++i) {
                REQUIRE(model[page + i] == 0);
                model[page + i] = (hpa + i * kPageBytes) | 7;
            }
            break;
        }
        case 2:
        case 3: {
            u64 const gpa = pick(kPageBytes), n = 1 + random() % (random() % 2 ? 2000 : 5);
            u64 const count = std::min(n, kPages - gpa / kPageBytes);
            ok = b.map.unmap(Gpa{gpa}, count * kPageBytes).ok();
            if (ok) {
                std::fill_n(model.begin() + static_cast<s64>(gpa / kPageBytes), count, 0);
                guarded.erase(guarded.lower_bound(gpa), guarded.lower_bound(gpa + count * kPageBytes));
            }
            break;
        }
        case 4: {
            bool const end = random() % 2 == 0;
            u64 gpa = end && !guarded.empty() ? *guarded.begin() : pick(kPageBytes);
            for (int tries = 0; !end && tries < 20 && model[gpa / kPageBytes] == 0; ++tries) {
                gpa = pick(kPageBytes);
            }
            u64& page = model[gpa / kPageBytes];
            if (end) {
                ok = b.map.unguard(Gpa{gpa});
                page = ok ? align_down(page, kPageBytes) | 7 : page;
                REQUIRE(ok == (guarded.erase(gpa) != 0));
                break;
            }
            u64 const rights = random() % 8;
            ok = b.map.guard(Gpa{gpa}, static_cast<Access>(rights)).ok();
            REQUIRE((page != 0 || !ok));
            if (ok) {
                page = align_down(page, kPageBytes) | kGuarded | ((rights & 1) != 0 ? rights : 0);
                guarded.insert(gpa);
                ++guards;
            }
            break;
        }
        default: {
            u64 const gpa = pick(kPageBytes);
            ok = b.map.split(Gpa{gpa}, random() % 2 ? kPageBytes : kLargePageBytes).ok();
            joins += random() % 2 != 0 && b.map.try_join(Gpa{gpa});
        }
        }
        (ok ? done : refused) += 1;
        for (int i = 0; i < 20; ++i) {
            u64 const gpa = pick(kPageBytes);
            auto const seen = b.at(gpa);
            u64 const expected = model[gpa / kPageBytes];
            REQUIRE((seen ? seen->page | seen->access : 0) ==
                    ((expected & 7) != 0 ? expected & ~kGuarded : 0));
        }
        if (step % 25 == 0) {
            check();
        }
    }
    check();
    CHECK(done > 300);
    CHECK(refused > 100);
    CHECK(joins > 3);
    CHECK(guards > 50);
    b.frames.limit = 40;
    REQUIRE(b.map.unmap(Gpa{0}, kPages * kPageBytes).ok());
    CHECK(b.frames.live() == 1);
}
