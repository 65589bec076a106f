// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/placement.hpp"
#include <catch2/catch.hpp>
#include <memory>

using namespace hv;
using namespace hv::debug;
using Kind = Placement::Owner::Kind;

namespace {
struct Bed {
    std::unique_ptr<PointTable> owner = std::make_unique<PointTable>();
    PointTable& table = *owner;
    HardwareBreakpoints guest;
    PlacementRules rules;

    u64 insert(PointSpec const& spec) {
        auto const r = table.insert(spec, {});
        REQUIRE(r.ok());
        return 1ull << r.value();
    }
    u64 execute(u64 address, bool software = false) {
        return insert({PointKind::Execute, software, address, 1});
    }
    u64 watch(PointKind kind, u64 address, u64 bytes) { return insert({kind, false, address, bytes}); }
    /// Enables the guest's DR @p n. @param type R/W in bits 1:0, LEN in 3:2
    void guest_has(unsigned n, u64 address, u64 type, u64 enable = 1) {
        guest.address[n] = address;
        guest.dr7 |= enable << 2 * n | type << (16 + 4 * n);
    }
    Placement place() { return debug::place(guest, table, rules); }
};
u64 type_of(Placement const& p, unsigned n) {
    return p.hardware.dr7 >> (16 + 4 * n) & 0xf;
}
u64 enable_of(Placement const& p, unsigned n) {
    return p.hardware.dr7 >> 2 * n & 3;
}
} // namespace

TEST_CASE("nothing wanted leaves the registers at rest", "[debug]") {
    Bed bed;
    Placement const p = bed.place();
    CHECK(!p.hardware.any());
    CHECK(p.hardware.dr7 == HardwareBreakpoints::kNone);
    CHECK(p.guarded == 0);
}

TEST_CASE("the guest's breakpoints come first, with their own bits", "[debug]") {
    Bed bed;
    bed.guest_has(1, 0x1111, 0xd, 3);
    bed.guest_has(3, 0x3333, 0x0, 2);
    bed.guest.address[0] = 0x9999; // not enabled
    u64 const a = bed.execute(0x5000), b = bed.execute(0x6000), c = bed.execute(0x7000);
    Placement const p = bed.place();
    CHECK(p.owner[0] == Placement::Owner{Kind::Guest, 1, 0});
    CHECK(p.owner[1] == Placement::Owner{Kind::Guest, 3, 0});
    CHECK(p.hardware.address[0] == 0x1111);
    CHECK(type_of(p, 0) == 0xd);
    CHECK(enable_of(p, 0) == 3);
    CHECK(enable_of(p, 1) == 2);
    CHECK(p.owner[2].points == a);
    CHECK(p.owner[3].points == b);
    CHECK(p.hardware.address[2] == 0x5000);
    CHECK(type_of(p, 2) == 0);
    CHECK(enable_of(p, 2) == 2);
    CHECK(p.guarded == c);
}

TEST_CASE("the guest's own DR7 bits beside the breakpoints are not passed on", "[debug]") {
    Bed bed;
    bed.guest.dr7 |= 0x2300; // LE, GE, GD
    CHECK(bed.place().hardware.dr7 == HardwareBreakpoints::kNone);
}

TEST_CASE("a guest that uses all four leaves everything to page guards", "[debug]") {
    Bed bed;
    for (unsigned n = 0; n < 4; ++n)
        bed.guest_has(n, 0x1000 * n, 1);
    u64 const a = bed.execute(0x5000), w = bed.watch(PointKind::Write, 0x100, 4);
    bed.rules.unguardable = w;
    Placement const p = bed.place();
    CHECK(p.guarded == a);
    CHECK(p.homeless == w);
}

TEST_CASE("what cannot be guarded has first claim", "[debug]") {
    Bed bed;
    u64 const e = bed.execute(1) | bed.execute(2) | bed.execute(3) | bed.execute(4);
    u64 const late = bed.execute(5), w = bed.watch(PointKind::Access, 0x100, 8);
    bed.rules.unguardable = late | w;
    Placement const p = bed.place();
    CHECK(p.owner[0].points == late);
    CHECK(p.owner[1].points == w);
    CHECK((p.owner[2].points | p.owner[3].points | p.guarded) == e);
    CHECK(p.homeless == 0);
}

TEST_CASE("execution points come before watchpoints", "[debug]") {
    Bed bed;
    u64 const w = bed.watch(PointKind::Write, 0x100, 4);
    for (u64 i = 0; i < 4; ++i)
        bed.execute(i);
    CHECK(bed.place().guarded == w);
}

TEST_CASE("watchpoints get a register where x86 has such a type", "[debug]") {
    Bed bed;
    bed.watch(PointKind::Write, 0x101, 1);
    bed.watch(PointKind::Access, 0x102, 2);
    bed.watch(PointKind::Write, 0x104, 4);
    bed.watch(PointKind::Access, 0x108, 8);
    Placement const p = bed.place();
    CHECK(p.guarded == 0);
    CHECK(type_of(p, 0) == 0x1);
    CHECK(type_of(p, 1) == 0x7);
    CHECK(type_of(p, 2) == 0xd);
    CHECK(type_of(p, 3) == 0xb);
    CHECK(p.hardware.dr7 == (u64{0xbd71} << 16 | 0x400 | 0xaa));
}

TEST_CASE("watchpoints that x86 cannot express are guarded", "[debug]") {
    Bed bed;
    u64 const all = bed.watch(PointKind::Read, 0x100, 4) | bed.watch(PointKind::Write, 0x102, 4) |
                    bed.watch(PointKind::Write, 0x100, 3) | bed.watch(PointKind::Write, 0x100, 16) |
                    bed.watch(PointKind::Access, 0x104, 8);
    Placement const p = bed.place();
    CHECK(p.guarded == all);
    CHECK(!p.hardware.any());
}

TEST_CASE("where code breakpoints do not work watchpoints still do", "[debug]") {
    Bed bed;
    u64 const e = bed.execute(0x5000), w = bed.watch(PointKind::Write, 0x100, 4);
    bed.rules.code_breakpoints = false;
    Placement const p = bed.place();
    CHECK(p.guarded == e);
    CHECK(p.owner[0].points == w);
    CHECK(p.owner[1].kind == Kind::None);
}

TEST_CASE("low code can be left to page guards", "[debug]") {
    Bed bed;
    u64 const low = bed.execute(0x7c00), high = bed.execute(0x10'0000),
              w = bed.watch(PointKind::Write, 0x100, 4);
    bed.rules.code_breakpoints_from = MiB;
    Placement const p = bed.place();
    CHECK(p.guarded == low);
    CHECK(p.owner[0].points == high);
    CHECK(p.owner[1].points == w);
    bed.rules.unguardable = low;
    CHECK(bed.place().homeless == low);
}

TEST_CASE("a register can be kept free", "[debug]") {
    Bed bed;
    for (u64 i = 0; i < 4; ++i)
        bed.execute(i);
    bed.rules.registers = 3;
    Placement const p = bed.place();
    CHECK(p.owner[3].kind == Kind::None);
    CHECK(p.guarded == 8);
}

TEST_CASE("two breakpoints at one address share a register and are hit together", "[debug]") {
    Bed bed;
    u64 const a = bed.execute(0x5000), b = bed.execute(0x5000, true), c = bed.execute(0x6000);
    Placement const p = bed.place();
    CHECK(p.owner[0].points == (a | b));
    CHECK(p.owner[1].points == c);
    CHECK(p.owner[2].kind == Kind::None);
    CHECK(sort_hits(p, 1).points == (a | b));
}

TEST_CASE("hits go to their owners by the numbers these know", "[debug]") {
    Bed bed;
    bed.guest_has(2, 0x2222, 0);
    bed.guest_has(3, 0x3333, 1);
    u64 const a = bed.execute(0x5000);
    Placement const p = bed.place();
    CHECK(sort_hits(p, 0x1).guest == 0x4);
    CHECK(sort_hits(p, 0x2).guest == 0x8);
    CHECK(sort_hits(p, 0x4).points == a);
    Hits const both = sort_hits(p, 0x5);
    CHECK(both.guest == 0x4);
    CHECK(both.points == a);
    Hits const none = sort_hits(p, 0xffff'4ff8); // matched but not enabled; BS
    CHECK(none.guest == 0);
    CHECK(none.points == 0);
}

TEST_CASE("a one-shot breakpoint takes a free register", "[debug]") {
    Bed bed;
    bed.guest_has(0, 0x1000, 0);
    u64 const a = bed.execute(0x5000);
    Placement const p = bed.place();
    OneShot const shot = with_one_shot(p, 0x7000);
    CHECK(shot.number == 2);
    CHECK(shot.hardware.address[2] == 0x7000);
    CHECK(shot.hardware.dr7 == (p.hardware.dr7 | 2u << 4));
    Hits const hits = sort_hits(p, shot, 0x7);
    CHECK(hits.one_shot);
    CHECK(hits.guest == 1);
    CHECK(hits.points == a);
    CHECK(!sort_hits(p, shot, 0xb).one_shot);
}

TEST_CASE("a one-shot breakpoint does without what hurts least", "[debug]") {
    Bed bed;
    bed.guest_has(0, 0x1000, 1);
    bed.guest_has(1, 0x2000, 0);
    u64 const e = bed.execute(0x5000), w = bed.watch(PointKind::Write, 0x100, 4);
    Placement const p = bed.place();
    OneShot const shot = with_one_shot(p, 0x7000);
    CHECK(shot.number == 2); // the execution point's
    Hits const hits = sort_hits(p, shot, 0xc);
    CHECK(hits.one_shot);
    CHECK(hits.points == w);
    CHECK((hits.points & e) == 0);

    bed.table.remove({PointKind::Execute, false, 0x5000, 1});
    u64 const v = bed.watch(PointKind::Access, 0x200, 4);
    Placement const watches = bed.place();
    OneShot const other = with_one_shot(watches, 0x7000);
    CHECK(other.number == 2);
    CHECK(((other.hardware.dr7 >> 24) & 0xf) == 0); // an execution breakpoint now
    CHECK(sort_hits(watches, other, 0x8).points == (watches.owner[3].points));
    CHECK((v | w) == (watches.owner[2].points | watches.owner[3].points));

    bed.table.clear();
    bed.guest_has(2, 0x3000, 1);
    bed.guest_has(3, 0x4000, 1);
    CHECK(with_one_shot(bed.place(), 0x7000).number == 1); // the guest's code breakpoint
}

TEST_CASE("a one-shot breakpoint shares the register of a point that is there", "[debug]") {
    Bed bed;
    u64 const a = bed.execute(0x5000);
    bed.execute(0x6000);
    Placement const p = bed.place();
    OneShot const shot = with_one_shot(p, 0x5000);
    CHECK(shot.hardware == p.hardware);
    Hits const hits = sort_hits(p, shot, 1);
    CHECK(hits.one_shot);
    CHECK(hits.points == a);
}
