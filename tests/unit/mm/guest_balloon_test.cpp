// SPDX-License-Identifier: Apache-2.0
// What ballooning, giving back and compaction do to the nested tables of both formats.
#include "tests/unit/mm/guest_bed.hpp"
#include <cstring>

using namespace hv;
using namespace hv::mm;
using namespace hv::test;

BOTH("ballooning whole blocks frees whole blocks, mapped or not") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(128 * MiB, 128 * MiB)};
    u64 const free_before = m.frames->free_pages(), backed = p->backed_pages();
    for (u64 at = 16 * MiB; at < 24 * MiB; at += 2 * MiB) {
        p->touch(Gpa{at}, Access::W);
    }
    u64 const generation = p.map->generation();
    REQUIRE(p->balloon_out(Gpa{16 * MiB}, 8 * 512).ok()); // four mapped, four not
    CHECK(p.map->generation() > generation);
    CHECK(m.frames->free_pages() == free_before + 8 * 512);
    CHECK(p->backed_pages() == backed - 8 * 512);
    CHECK(p->ballooned_pages() == 8 * 512);
    CHECK(p->mapped_large_pages() == 0);
    CHECK_FALSE(p.at(16 * MiB).has_value());
    CHECK(p->touch(Gpa{17 * MiB}, Access::W) == Touch::Ballooned);
    CHECK(p->counters().ballooned_touches == 1);
    CHECK(p->touch(Gpa{32 * MiB}, Access::W) == Touch::Mapped);
    CHECK(p->state(Gpa{17 * MiB}) == PageState::Ballooned);
    CHECK_MEMORY(m, p.memory);
    REQUIRE(p->give_back(Gpa{16 * MiB}, 8 * 512).ok());
    CHECK(p->touch(Gpa{17 * MiB}, Access::W) == Touch::Mapped);
    CHECK(p->mapped_large_pages() == 1024); // large again
    CHECK(p->backed_pages() == backed);
    CHECK_MEMORY(m, p.memory);
}

BOTH("ballooning a part splits the block and touches no other page") {
    GuestMachine m{256 * MiB};
    std::memset(m.ram.map().template pointer<u8>(Hpa{0}), 0x5e, 250 * MiB);
    Partition<TestType> p{*m.frames, sized(64 * MiB, 64 * MiB)};
    u64 const at = 10 * MiB;
    std::vector<u8> pattern(2 * MiB);
    for (usize i = 0; i < pattern.size(); ++i) {
        pattern[i] = static_cast<u8>(i / 4096 + i);
    }
    REQUIRE(p->write(Gpa{at}, pattern).ok());
    REQUIRE(p->mapped_large_pages() == 512);
    REQUIRE(p->balloon_out(Gpa{at + 100 * kPage}, 50).ok());
    CHECK(p->mapped_large_pages() == 0);
    CHECK(p->mapped_small_pages() == 462);
    for (u64 i = 0; i < 512; ++i) {
        CHECK(p.at(at + i * kPage).has_value() == (i < 100 || i >= 150));
    }
    std::vector<u8> back(100 * kPage);
    REQUIRE(p->read(Gpa{at}, back).ok());
    CHECK(std::equal(back.begin(), back.end(), pattern.begin()));
    CHECK(p->read(Gpa{at + 99 * kPage}, std::span{back}.first(5000)).error() == GuestMemoryError::Ballooned);
    CHECK_MEMORY(m, p.memory);
    REQUIRE(p->give_back(Gpa{at + 100 * kPage}, 50).ok());
    for (u64 i = 100; i < 140; ++i) { // the last ten are zeroed by the compaction
        CHECK(p->touch(Gpa{at + i * kPage}, Access::R) == Touch::Mapped);
    }
    CHECK_MEMORY(m, p.memory);
    // Contents survive being gathered into one leaf.
    REQUIRE(p->compact_block(Gpa{at + 5}));
    CHECK(p->mapped_large_pages() == 512);
    std::fill(pattern.begin() + 100 * kPage, pattern.begin() + 150 * kPage, 0);
    back.resize(2 * MiB);
    REQUIRE(p->read(Gpa{at}, back).ok());
    CHECK(back == pattern);
    CHECK(p.shared_allocations() == 0);
    CHECK_MEMORY(m, p.memory);
}

BOTH("pages given back to an untouched block make it large again at the next touch") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 64 * MiB)};
    REQUIRE(p->balloon_out(Gpa{10 * MiB + 8 * kPage}, 3).ok());
    CHECK_MEMORY(m, p.memory);
    CHECK(p->waiting_pages() == 480 + 509); // the first block, and what is left of this one
    REQUIRE(p->give_back(Gpa{10 * MiB + 8 * kPage}, 3).ok());
    CHECK(p->waiting_pages() == 480);
    CHECK(p->touch(Gpa{10 * MiB}, Access::R) == Touch::Mapped);
    CHECK(p->mapped_large_pages() == 512);
    CHECK_MEMORY(m, p.memory);
}

BOTH("a block of consecutive single frames joins by itself once all are touched") {
    GuestMachine m{64 * MiB};
    Partition<TestType> p{*m.frames, sized(16 * MiB, 16 * MiB)};
    // Out and in once, so that the pool has a table to spare and keeps no frame of the next balloon.
    REQUIRE(p->balloon_out(Gpa{6 * MiB}, 1).ok());
    REQUIRE(p->give_back(Gpa{6 * MiB}, 1).ok());
    // Break the block's run, leave no other, and give the one frame back: 512 singles, in a row.
    m.fill_up(0);
    REQUIRE(p->balloon_out(Gpa{4 * MiB}, 1).ok());
    REQUIRE(m.frames->free_pages() == 1);
    REQUIRE(p->give_back(Gpa{4 * MiB}, 1).ok());
    CHECK(p->waiting_pages() == 480 + 512);
    for (u64 i = 0; i < 512; ++i) {
        CHECK(p->mapped_small_pages() == i);
        p->touch(Gpa{4 * MiB + i * kPage}, Access::R);
    }
    CHECK(p->mapped_large_pages() == 512);
    CHECK(p.map->counts().joins == 1);
    CHECK_MEMORY(m, p.memory);
    REQUIRE(p->balloon_out(Gpa{4 * MiB}, 512).ok());
    CHECK_MEMORY(m, p.memory);
    m.let_go();
}

BOTH("frames given back follow each other, so a half that comes back joins its other half") {
    GuestMachine m{64 * MiB};
    Partition<TestType> p{*m.frames, sized(16 * MiB, 16 * MiB)};
    REQUIRE(p->touch(Gpa{4 * MiB}, Access::W) == Touch::Mapped);
    REQUIRE(p->balloon_out(Gpa{6 * MiB}, 1).ok()); // so that the pool keeps no frame of the next
    REQUIRE(p->give_back(Gpa{6 * MiB}, 1).ok());
    REQUIRE(p->balloon_out(Gpa{4 * MiB + 256 * kPage}, 256).ok());
    REQUIRE(p->give_back(Gpa{4 * MiB + 256 * kPage}, 256).ok());
    for (u64 i = 256; i < 512; ++i) {
        CHECK(p->mapped_small_pages() == i);
        REQUIRE(p->touch(Gpa{4 * MiB + i * kPage}, Access::W) == Touch::Mapped);
    }
    CHECK(p->mapped_large_pages() == 512);
    CHECK(p->counters().compactions == 0);
    CHECK_MEMORY(m, p.memory);
}

BOTH("a balloon of what is not there changes nothing") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 128 * MiB)};
    REQUIRE(p->balloon_out(Gpa{20 * MiB}, 10).ok());
    u64 const free_before = m.frames->free_pages(), backed = p->backed_pages();
    auto const refused = [&](u64 gpa, u64 pages) { return p->balloon_out(Gpa{gpa}, pages).error(); };
    CHECK(refused(20 * MiB + 9 * kPage, 1) == RangeError::WrongState); // twice
    CHECK(refused(19 * MiB, 2000) == RangeError::WrongState);          // one of them already gone
    CHECK(refused(0x9'f000, 2) == RangeError::WrongState);             // reaches into the hole
    CHECK(refused(4 * GiB, 1) == RangeError::WrongState);              // never added
    CHECK(refused(63 * MiB, 257) == RangeError::NotRam);               // over the end
    CHECK(refused(64 * MiB, 1) == RangeError::NotRam);
    CHECK(refused(0, 0) == RangeError::NotRam);
    CHECK(refused(0, ~0ull) == RangeError::NotRam);
    CHECK(refused(~0ull & ~0xfffull, 2) == RangeError::NotRam);
    CHECK(refused(0x123, 1) == RangeError::NotRam);
    CHECK(p->give_back(Gpa{0x5000}, 1).error() == RangeError::WrongState);
    CHECK(p->give_back(Gpa{20 * MiB}, 11).error() == RangeError::WrongState);
    CHECK(p->give_back(Gpa{4 * GiB}, 1).error() == RangeError::WrongState);
    CHECK(p->hot_add(Gpa{0xa'0000}, 1).error() == RangeError::NotRam); // the hole is not for adding
    CHECK(p->hot_add(Gpa{20 * MiB}, 1).error() == RangeError::NotRam);
    CHECK(p->hot_add(Gpa{4 * GiB}, 64 * 256 + 1).error() == RangeError::NotRam);
    REQUIRE(p->hot_add(Gpa{4 * GiB}, 64 * 256).ok());
    CHECK(p->hot_add(Gpa{4 * GiB}, 1).error() == RangeError::WrongState); // once only
    CHECK(m.frames->free_pages() + 64 * 256 <= free_before);
    CHECK(p->backed_pages() == backed + 64 * 256);
    CHECK_MEMORY(m, p.memory);
}

BOTH("giving back without frames changes nothing, at any shortage") {
    GuestMachine m{128 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 64 * MiB)};
    u64 const pages = 5000;
    REQUIRE(p->balloon_out(Gpa{3 * MiB + 5 * kPage}, pages).ok());
    for (u64 keep : {0, 1, 511, 512, 4000, 4999}) {
        m.fill_up(keep);
        u64 const free_before = m.frames->free_pages();
        auto const r = p->give_back(Gpa{3 * MiB + 5 * kPage}, pages);
        REQUIRE_FALSE(r.ok());
        CHECK(r.error() == RangeError::OutOfFrames);
        CHECK(m.frames->free_pages() == free_before);
        CHECK(p->ballooned_pages() == pages);
        CHECK_MEMORY(m, p.memory);
        m.let_go();
    }
    CHECK(p->give_back(Gpa{3 * MiB + 5 * kPage}, pages).ok());
    CHECK_MEMORY(m, p.memory);
}

BOTH("ballooning needs no free memory") {
    GuestMachine m{96 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 64 * MiB)};
    for (u64 at = 2 * MiB; at < 64 * MiB; at += 4 * MiB) {
        p->touch(Gpa{at}, Access::W);
    }
    m.fill_up(0);
    // One page out of every block: each makes a table where there was none, with nothing free at the start.
    for (u64 at = 2 * MiB; at < 64 * MiB; at += 2 * MiB) {
        REQUIRE(p->balloon_out(Gpa{at + 77 * kPage}, 1).ok());
    }
    for (u64 at = 0; at < 64 * MiB; at += kPage) {
        Touch const expected = GuestLayout::in_hole(Gpa{at})             ? Touch::Hole
                               : at >= 2 * MiB && at / kPage % 512 == 77 ? Touch::Ballooned
                                                                         : Touch::Mapped;
        REQUIRE(p->touch(Gpa{at}, Access::R) == expected);
    }
    CHECK(p.shared_allocations() == 0);
    CHECK_MEMORY(m, p.memory);
    m.let_go();
}

BOTH("idle time puts blocks together, one a call, wherever they lie") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(32 * MiB, 64 * MiB)};
    REQUIRE(p->hot_add(Gpa{4 * GiB}, 8192).ok());
    u64 const blocks[] = {4 * MiB, 10 * MiB, 4 * GiB + 6 * MiB};
    for (u64 at = 2 * MiB; at < 32 * MiB; at += kLargePageBytes) {
        REQUIRE(store(*p.memory, Gpa{at + 7 * kPage}, at).ok());
        REQUIRE(store(*p.memory, Gpa{4 * GiB + at + 7 * kPage}, at).ok());
    }
    u64 const large = p->mapped_large_pages();
    for (u64 at : blocks) { // away and back by the page, as a driver may do it
        REQUIRE(p->balloon_out(Gpa{at + 9 * kPage}, 3).ok());
        REQUIRE(p->give_back(Gpa{at + 9 * kPage}, 3).ok());
    }
    REQUIRE(p->balloon_out(Gpa{20 * MiB}, 5).ok()); // not whole: left alone
    REQUIRE(p->guard(Gpa{22 * MiB}, Access::RW).ok());
    CHECK(p->mapped_large_pages() == large - 5 * 512);
    unsigned calls = 0;
    for (unsigned step = 0; step < 200; ++step) {
        u64 const before = p->counters().compactions;
        bool const done = p->compact_some(4);
        CHECK(p->counters().compactions == before + done);
        calls += done;
    }
    CHECK(calls == 3);
    CHECK(p->mapped_large_pages() == large - 2 * 512);
    for (u64 at : blocks) {
        CHECK(fetch<u64>(*p.memory, Gpa{at + 7 * kPage}).value() == (at & (4 * GiB - 1)));
        CHECK(fetch<u64>(*p.memory, Gpa{at + 10 * kPage}).value() == 0);
    }
    CHECK(p->guarded(Gpa{22 * MiB}) == Access::RW);
    CHECK(p.shared_allocations() == 0);
    CHECK_MEMORY(m, p.memory);
    CHECK_FALSE(p->compact_some(0));
    // Without a run to copy to, nothing is tried twice in a call and nothing changes.
    p->unguard(Gpa{22 * MiB});
    REQUIRE(p->give_back(Gpa{20 * MiB}, 5).ok());
    m.fill_up(0);
    for (unsigned step = 0; step < 100; ++step) {
        CHECK_FALSE(p->compact_some(1000));
    }
    m.let_go();
    CHECK(p->compact_some(1000));
    CHECK(p->mapped_large_pages() == large);
    CHECK_MEMORY(m, p.memory);
}
