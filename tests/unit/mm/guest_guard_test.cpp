// SPDX-License-Identifier: Apache-2.0
// Guarded pages over real nested tables of both formats: what the guest may do, what goes on beside it, and
// that nothing of it is left.
#include "tests/unit/mm/guest_bed.hpp"

using namespace hv;
using namespace hv::mm;
using namespace hv::test;

namespace {
constexpr Gpa kAt{4 * MiB + 7 * kPage};
template <class V>
struct Bed {
    explicit Bed(u64 bytes = 128 * MiB) : m{bytes}, p{*m.frames, sized(16 * MiB, 32 * MiB)} {}
    ~Bed() { CHECK_MEMORY(m, p.memory); }
    GuestMachine m;
    Partition<V> p;
};
/// All leaves and counts of a map, to compare.
std::string picture(NestedMap const& map) {
    std::string text;
    map.for_each(
        [](void* to, NestedLeaf const& l) {
            static_cast<std::string*>(to)->append(
                std::to_string(l.gpa.raw) + "=" + std::to_string(l.hpa.raw) + "+" + std::to_string(l.bytes) +
                (l.guarded ? "g" : " ") + std::to_string(static_cast<unsigned>(l.access)) + "\n");
        },
        &text);
    NestedCounts const& c = map.counts();
    return text + std::to_string(c.leaves_4k) + " " + std::to_string(c.leaves_2m) + " " +
           std::to_string(c.leaves_1g) + " " + std::to_string(c.table_frames);
}
} // namespace

BOTH("a guard on a page of a large leaf comes and goes and leaves the tables as they were") {
    Bed<TestType> bed;
    auto& p = bed.p;
    REQUIRE(p->touch(Gpa{4 * MiB}, Access::W) == Touch::Mapped);
    REQUIRE(p->touch(Gpa{0x1000}, Access::W) == Touch::Mapped);
    REQUIRE(p->touch(Gpa{0x2000}, Access::W) == Touch::Mapped);
    std::string const before = picture(*p.map);
    u64 const pool = p->table_pool().available(), large = p->mapped_large_pages(),
              small = p->mapped_small_pages();
    for (Gpa at : {kAt, Gpa{0x1000}}) {
        CHECK(p->guarded(at) == Access::RWX);
        REQUIRE(p->guard(at + 0x123, Access::RW).ok());
        CHECK((p->is_guarded(at) && p->guarded(at) == Access::RW));
        CHECK_FALSE(p->is_guarded(at + kPage));
        CHECK(p.at(at.raw)->access == 3);
        CHECK(p->touch(at, Access::X) == Touch::Guarded);
        CHECK(p->touch(at, Access::W) == Touch::Mapped);
        CHECK(p->touch(at + kPage, Access::X) == Touch::Mapped);
        // Open for an instruction and shut again: no table comes or goes, and only shutting needs a flush.
        u64 const joins = p.map->counts().joins, splits = p.map->counts().splits;
        u64 const generation = p.map->generation();
        REQUIRE(p->guard(at, Access::RWX).ok());
        CHECK(p->touch(at, Access::X) == Touch::Mapped);
        CHECK(p->is_guarded(at));
        CHECK(p.map->generation() == generation);
        REQUIRE(p->guard(at, Access::None).ok());
        CHECK(p.map->generation() == generation + 1);
        CHECK_FALSE(p.at(at.raw));
        for (Access a : {Access::R, Access::W, Access::X}) {
            CHECK(p->touch(at, a) == Touch::Guarded);
        }
        CHECK((p.map->counts().joins == joins && p.map->counts().splits == splits));
        CHECK_MEMORY(bed.m, p.memory);
        p->unguard(at + 0x123);
        p->unguard(at);
        CHECK_FALSE(p->is_guarded(at));
        CHECK(p.at(at.raw)->access == 7);
    }
    CHECK(picture(*p.map) == before);
    CHECK(p->table_pool().available() <= pool + 1); // the frame it asked for, kept for the next one
    CHECK(p->mapped_large_pages() == large);
    CHECK(p->mapped_small_pages() == small);
    CHECK(p->counters().dropped_guards == 0);
}

BOTH("a guard maps a page that was never touched, and refuses what is no memory") {
    Bed<TestType> bed;
    auto& p = bed.p;
    REQUIRE(p->guard(kAt, Access::None).ok());
    REQUIRE(p->guard(Gpa{0x3000}, Access::R).ok());
    CHECK(p->mapped_small_pages() == 513);
    REQUIRE(p->balloon_out(Gpa{6 * MiB}, 1).ok());
    CHECK(p->guard(Gpa{6 * MiB}, Access::R).error() == GuestMemoryError::Ballooned);
    for (u64 at : {u64{0xa'0000}, 16 * MiB, 4 * GiB, u64{0xfee0'0000}, u64{~0ull}}) {
        CHECK(p->guard(Gpa{at}, Access::R).error() == GuestMemoryError::NotRam);
        p->unguard(Gpa{at});
        CHECK_FALSE(p->is_guarded(Gpa{at}));
    }
}

BOTH("the hypervisor's own access does not see a guard") {
    Bed<TestType> bed;
    auto& p = bed.p;
    REQUIRE(store(*p.memory, kAt, u64{0x1122334455667788}).ok());
    REQUIRE(p->guard(kAt, Access::None).ok());
    CHECK(fetch<u64>(*p.memory, kAt).value() == 0x1122334455667788);
    REQUIRE(store(*p.memory, kAt + kPage - 4, u64{5}).ok()); // across its end
    CHECK(p->page(kAt).ok());
    CHECK(p->guarded(kAt) == Access::None);
    p->unguard(kAt);
    CHECK(fetch<u64>(*p.memory, kAt).value() == 0x1122334455667788);
}

BOTH("a guarded page that is given away takes its guard with it, and no other") {
    Bed<TestType> bed;
    auto& p = bed.p;
    for (u64 page : {7, 8, 100}) {
        REQUIRE(p->guard(Gpa{4 * MiB + page * kPage}, Access::None).ok());
    }
    u64 const free = bed.m.frames->free_pages();
    REQUIRE(p->balloon_out(kAt, 1).ok());
    CHECK(p->touch(kAt, Access::R) == Touch::Ballooned);
    CHECK(p->counters().dropped_guards == 1);
    CHECK(bed.m.frames->free_pages() == free + 1);
    CHECK(p->is_guarded(Gpa{4 * MiB + 8 * kPage}));
    CHECK_MEMORY(bed.m, p.memory);
    REQUIRE(p->give_back(kAt, 1).ok());
    CHECK(p->touch(kAt, Access::X) == Touch::Mapped); // a new page, without a guard
    CHECK_FALSE(p->is_guarded(kAt));
    CHECK(p->touch(Gpa{4 * MiB + 100 * kPage}, Access::R) == Touch::Guarded); // still
    CHECK_MEMORY(bed.m, p.memory);
    SECTION("the whole block") {
        REQUIRE(p->balloon_out(Gpa{4 * MiB}, 512).ok());
        CHECK(p->counters().dropped_guards == 3);
        REQUIRE(p->give_back(Gpa{4 * MiB}, 512).ok());
        REQUIRE(p->touch(kAt, Access::W) == Touch::Mapped);
        CHECK(p->mapped_large_pages() == 512);
    }
    SECTION("a range over several blocks, mapped and not") {
        REQUIRE(p->balloon_out(Gpa{2 * MiB + kPage}, 2000).ok());
        CHECK(p->counters().dropped_guards == 3);
    }
    SECTION("a restart") {
        REQUIRE(p->reset_for_restart().ok());
        CHECK(p->counters().dropped_guards == 3);
        CHECK_FALSE(p->is_guarded(Gpa{4 * MiB + 8 * kPage}));
        REQUIRE(p->touch(kAt, Access::W) == Touch::Mapped);
        CHECK(p->mapped_large_pages() == 512);
    }
    SECTION("refused hot-added memory") {
        REQUIRE(p->hot_add(Gpa{4 * GiB}, 4096).ok());
        REQUIRE(p->guard(Gpa{4 * GiB + 5 * kPage}, Access::R).ok());
        p->withdraw(Gpa{4 * GiB}, 4096);
        CHECK(p->counters().dropped_guards == 2);
    }
}

BOTH("a block of consecutive single frames joins not over a guard but at its end") {
    GuestMachine m{64 * MiB};
    Partition<TestType> p{*m.frames, sized(16 * MiB, 16 * MiB)};
    // As in the test of such a block without guards: 512 single frames in a row.
    REQUIRE(p->balloon_out(Gpa{6 * MiB}, 1).ok());
    REQUIRE(p->give_back(Gpa{6 * MiB}, 1).ok());
    m.fill_up(0);
    REQUIRE(p->balloon_out(Gpa{4 * MiB}, 1).ok());
    REQUIRE(p->give_back(Gpa{4 * MiB}, 1).ok());
    for (u64 page = 0; page < 512; ++page) {
        if (page == 7) {
            REQUIRE(p->guard(kAt, Access::None).ok());
            REQUIRE(p->guard(Gpa{4 * MiB}, Access::R).ok());
        }
        if (page == 300) {
            // Open both, as for one instruction: the last touch must not join then either.
            REQUIRE(p->guard(kAt, Access::RWX).ok());
            REQUIRE(p->guard(Gpa{4 * MiB}, Access::RWX).ok());
        }
        p->touch(Gpa{4 * MiB + page * kPage}, Access::W);
    }
    CHECK(p->mapped_small_pages() == 512);
    CHECK_FALSE(p.map->try_join(kAt));
    CHECK_MEMORY(m, p.memory);
    REQUIRE(p->guard(kAt, Access::None).ok());
    m.let_go();
    CHECK_FALSE(p->compact_block(kAt));
    p->unguard(kAt);
    CHECK(p->mapped_small_pages() == 512);
    CHECK_FALSE(p->compact_block(kAt));
    p->unguard(Gpa{4 * MiB});
    CHECK(p->mapped_large_pages() == 512);
    CHECK(p.map->counts().joins == 1);
    CHECK_MEMORY(m, p.memory);
}

BOTH("a fault finds a guarded page although others of its block still wait") {
    Bed<TestType> bed;
    auto& p = bed.p;
    REQUIRE(p->guard(Gpa{0x5000}, Access::RX).ok()); // in the first block, which is mapped by the page
    u64 const waiting = p->waiting_pages();
    REQUIRE(waiting > 400);
    CHECK(p->touch(Gpa{0x5000}, Access::W) == Touch::Guarded);
    CHECK(p->touch(Gpa{0x5000}, Access::X) == Touch::Mapped);
    CHECK(p->waiting_pages() == waiting);
    CHECK(p->touch(Gpa{0x6000}, Access::W) == Touch::Mapped);
    CHECK(p->waiting_pages() == waiting - 1);
}

TEMPLATE_TEST_CASE("a guard in a leaf of 1 GiB cuts it, and ends without a trace", "[mm][guest][guard][slow]",
                   Ept, Npt) {
    GuestMachine m{3 * GiB};
    Partition<TestType> p{*m.frames, sized(2 * GiB, 2 * GiB)};
    for (u64 at = 1 * GiB; at < 2 * GiB; at += kLargePageBytes) {
        REQUIRE(p->touch(Gpa{at}, Access::W) == Touch::Mapped);
    }
    REQUIRE(p.map->counts().leaves_1g == 1);
    std::string const before = picture(*p.map);
    u64 const pool = p->table_pool().available();
    Gpa const at{1 * GiB + 333 * MiB + 5 * kPage};
    REQUIRE(p->guard(at, Access::R).ok());
    CHECK((p.map->counts().leaves_2m == 511 && p.map->counts().leaves_4k == 512));
    CHECK((p->mapped_small_pages() == 512 && p->mapped_large_pages() == 511 * 512));
    CHECK(p->touch(at, Access::W) == Touch::Guarded);
    CHECK_MEMORY(m, p.memory);
    SECTION("ended") {
        p->unguard(at);
        CHECK(picture(*p.map) == before);
        CHECK(p->table_pool().available() >= pool);
    }
    SECTION("ballooned around") {
        m.fill_up(0);
        u64 const late = p.shared_allocations();
        REQUIRE(p->balloon_out(Gpa{1 * GiB + 100 * MiB + kPage}, 100'000).ok());
        CHECK_FALSE(p->is_guarded(at));
        CHECK(p->counters().dropped_guards == 1);
        CHECK(p.shared_allocations() == late);
    }
    CHECK_MEMORY(m, p.memory);
}

BOTH("a guard without a frame for its table changes nothing") {
    Bed<TestType> bed{40 * MiB};
    auto& p = bed.p;
    REQUIRE(p->touch(kAt, Access::W) == Touch::Mapped);
    REQUIRE(p->touch(Gpa{6 * MiB}, Access::W) == Touch::Mapped);
    bed.m.fill_up(0);
    while (bed.m.hold(0)) {
    }
    std::string const before = picture(*p.map);
    u64 guards = 0;
    while (p->guard(kAt + guards * kLargePageBytes, Access::R).ok()) {
        ++guards; // what the pool has over its needs
        REQUIRE(guards < 8);
        REQUIRE(p->table_pool().available() >= 4);
    }
    CHECK(p->guard(kAt + guards * kLargePageBytes, Access::R).error() == GuestMemoryError::OutOfFrames);
    CHECK_FALSE(p->is_guarded(kAt + guards * kLargePageBytes));
    CHECK((guards != 0 || picture(*p.map) == before));
    CHECK_MEMORY(bed.m, p.memory);
    CHECK(p->touch(Gpa{0x5000}, Access::W) == Touch::Mapped);
    REQUIRE(p->balloon_out(Gpa{6 * MiB + kPage}, 1).ok()); // its tables are still there
    CHECK(p.shared_allocations() == 0);
    bed.m.let_go();
    CHECK(p->guard(kAt + guards * kLargePageBytes, Access::R).ok());
}

BOTH("with small pages only, a guard is a narrowed leaf and its end joins nothing") {
    GuestMachine m{128 * MiB};
    GuestMemoryConfig config = sized(16 * MiB, 16 * MiB);
    config.small_pages_only = true;
    Partition<TestType> p{*m.frames, config};
    for (u64 page = 0; page < 512; ++page) {
        REQUIRE(p->touch(Gpa{4 * MiB + page * kPage}, Access::W) == Touch::Mapped);
    }
    REQUIRE(p->guard(kAt, Access::RX).ok());
    CHECK(p->touch(kAt, Access::W) == Touch::Guarded);
    p->unguard(kAt);
    CHECK(p->mapped_small_pages() == 512);
    CHECK(p->touch(kAt, Access::W) == Touch::Mapped);
    CHECK_MEMORY(m, p.memory);
}
