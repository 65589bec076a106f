// SPDX-License-Identifier: Apache-2.0
// Guest memory over real nested tables of both formats; after each case the memory check has the last word.
#include "tests/unit/mm/death.hpp"
#include "tests/unit/mm/guest_bed.hpp"
#include <cstring>
#include <random>

using namespace hv;
using namespace hv::mm;
using namespace hv::test;

BOTH("startup memory is owned at once, mapped at first touch, and all returned at the end") {
    GuestMachine m{512 * MiB};
    {
        Partition<TestType> p{*m.frames, sized(128 * MiB, 256 * MiB)};
        REQUIRE(p.created.ok());
        CHECK(p->backed_pages() == 128 * MiB / kPage - 32);
        CHECK(m.frames->count(partition_owner(0)).guest_pages == p->backed_pages());
        CHECK(p->mapped_large_pages() + p->mapped_small_pages() == 0);
        CHECK_MEMORY(m, p.memory);

        // A stale byte of somebody else must not be seen: frames are dirtied before, pages read after.
        CHECK(p->touch(Gpa{4 * MiB + 0x1234}, Access::W) == Touch::Mapped);
        CHECK(p->mapped_large_pages() == 512);
        CHECK(p.at(4 * MiB).has_value());
        CHECK(p.at(6 * MiB - 1).has_value());
        CHECK_FALSE(p.at(6 * MiB).has_value());
        CHECK(p->touch(Gpa{4 * MiB}, Access::R) == Touch::Mapped); // already there: nothing happens
        CHECK(p->counters().faults == 1);
        // The first 2 MiB have the hole in them and are mapped by the page.
        CHECK(p->touch(Gpa{0x9'f000}, Access::R) == Touch::Mapped);
        CHECK(p->touch(Gpa{0xe'0000}, Access::R) == Touch::Mapped);
        CHECK(p->mapped_small_pages() == 2);
        CHECK(p->touch(Gpa{0xa'0000}, Access::R) == Touch::Hole);
        CHECK(p->touch(Gpa{0xb'ffff}, Access::R) == Touch::Hole);
        CHECK(p->touch(Gpa{128 * MiB}, Access::R) == Touch::Hole);
        CHECK(p->touch(Gpa{0xfee0'0000}, Access::R) == Touch::Hole);
        CHECK(p->touch(Gpa{4 * GiB}, Access::R) == Touch::NotAdded);
        CHECK(p->touch(Gpa{4 * GiB + 128 * MiB}, Access::R) == Touch::Hole);
        CHECK(p->touch(Gpa{~0ull}, Access::R) == Touch::Hole);
        CHECK(p.shared_allocations() == 0);
        CHECK_MEMORY(m, p.memory);
    }
    CHECK(m.frames->free_pages() == m.free_at_start);
    CHECK(m.frames->count(partition_owner(0)).pages == 0);
    CHECK_MEMORY(m);
}

BOTH("a frame is zeroed before the guest sees it, whichever way it came") {
    GuestMachine m{96 * MiB};
    // Everything that is free is full of somebody's secrets.
    std::memset(m.ram.map().template pointer<u8>(Hpa{0}), 0x5e, 90 * MiB);
    bool const small = GENERATE(false, true);
    GuestMemoryConfig config = sized(64 * MiB, 72 * MiB);
    config.small_pages_only = small;
    Partition<TestType> p{*m.frames, config};
    REQUIRE(p.created.ok());
    auto const all_zero = [&](u64 from, u64 bytes) {
        for (u64 at = from; at < from + bytes; at += kPage) {
            if (GuestLayout::in_hole(Gpa{at}) || p->state(Gpa{at}) != PageState::Backed) {
                continue;
            }
            u8* const page = p->page(Gpa{at}).value();
            REQUIRE(std::all_of(page, page + kPage, [](u8 b) { return b == 0; }));
            std::memset(page, 0x77, kPage);
        }
    };
    all_zero(0, 64 * MiB);
    CHECK(p->mapped_large_pages() == (small ? 0 : 31 * 512));
    // Out and in again: what comes back is not what was there.
    REQUIRE(p->balloon_out(Gpa{8 * MiB}, 2048).ok());
    REQUIRE(p->balloon_out(Gpa{0x1'0000}, 7).ok());
    REQUIRE(p->give_back(Gpa{8 * MiB}, 2048).ok());
    REQUIRE(p->give_back(Gpa{0x1'0000}, 7).ok());
    REQUIRE(p->hot_add(Gpa{4 * GiB}, 600).ok());
    all_zero(8 * MiB, 8 * MiB);
    all_zero(0x1'0000, 7 * kPage);
    all_zero(4 * GiB, 600 * kPage);
    REQUIRE(p->reset_for_restart().ok());
    all_zero(0, 64 * MiB);
    CHECK(p.shared_allocations() == 0);
    CHECK_MEMORY(m, p.memory);
}

BOTH("1 GiB where the host has one: leaves line up and join") {
    GuestMachine m{6 * GiB};
    Partition<TestType> p{*m.frames, sized(2 * GiB, 2 * GiB)};
    REQUIRE(p.created.ok());
    // Map without paying for zeroing 1 GiB: only look at the frames that were set aside.
    u32 const first = p->block(512).run;
    CHECK(first % 512 == 0);
    for (u32 i = 0; i < 512; ++i) {
        REQUIRE(p->block(512 + i).run == first + i);
    }
    CHECK_MEMORY(m, p.memory);
}

TEST_CASE("512 large leaves in a row become one of 1 GiB, and ballooning cuts it", "[mm][guest][slow]") {
    GuestMachine m{4 * GiB};
    Partition<Npt> p{*m.frames, sized(2 * GiB, 2 * GiB)};
    for (u64 at = 1 * GiB; at < 2 * GiB; at += 2 * MiB) {
        REQUIRE(p->touch(Gpa{at}, Access::W) == Touch::Mapped);
    }
    CHECK(p.map->counts().leaves_1g == 1);
    CHECK(p->mapped_large_pages() == 512 * 512);
    CHECK_MEMORY(m, p.memory);
    m.fill_up(0);
    REQUIRE(p->balloon_out(Gpa{1 * GiB + 6 * MiB + 3 * kPage}, 1).ok());
    CHECK(p.map->counts().leaves_1g == 0);
    CHECK(p.map->counts().leaves_2m == 511);
    CHECK_MEMORY(m, p.memory);
    m.let_go();
    REQUIRE(p->give_back(Gpa{1 * GiB + 6 * MiB + 3 * kPage}, 1).ok());
    REQUIRE(p->balloon_out(Gpa{1 * GiB}, 512 * 512).ok());
    CHECK(p.at(1 * GiB + 10 * MiB) == std::nullopt);
    CHECK_MEMORY(m, p.memory);
}

BOTH("hot-added memory that the guest refused goes back and can be added again") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 128 * MiB)};
    u64 const free = m.frames->free_pages();
    REQUIRE(p->hot_add(Gpa{4 * GiB}, 4000).ok());
    p->touch(Gpa{4 * GiB + 5 * MiB}, Access::W);
    p->withdraw(Gpa{4 * GiB} + 700 * kPageBytes, 3300);
    CHECK(p->state(Gpa{4 * GiB} + 699 * kPageBytes) == PageState::Backed);
    CHECK(p->state(Gpa{4 * GiB} + 700 * kPageBytes) == PageState::NotAdded);
    CHECK(p->ballooned_pages() == 0);
    CHECK(p->backed_pages() == p->startup_pages() + 700);
    CHECK_MEMORY(m, p.memory);
    REQUIRE(p->hot_add(Gpa{4 * GiB} + 700 * kPageBytes, 3300).ok());
    p->withdraw(Gpa{4 * GiB}, 4000);
    CHECK(m.frames->free_pages() <= free);
    CHECK(p->touch(Gpa{4 * GiB + 5 * MiB}, Access::R) == Touch::NotAdded);
    CHECK_MEMORY(m, p.memory);
}

BOTH("a restart brings back the startup memory and takes the rest away") {
    GuestMachine m{256 * MiB};
    Partition<TestType> p{*m.frames, sized(64 * MiB, 128 * MiB)};
    u64 const startup = p->backed_pages();
    for (u64 at = 0; at < 64 * MiB; at += 3 * MiB) {
        p->touch(Gpa{at}, Access::W);
    }
    REQUIRE(p->hot_add(Gpa{4 * GiB}, 4000).ok());
    p->touch(Gpa{4 * GiB + 5 * MiB}, Access::W);
    REQUIRE(p->balloon_out(Gpa{5 * MiB}, 3333).ok());
    CHECK(p->restart_shortage_pages() == 0);
    REQUIRE(p->reset_for_restart().ok());
    CHECK(p->backed_pages() == startup);
    CHECK(p->ballooned_pages() == 0);
    CHECK(p->mapped_large_pages() + p->mapped_small_pages() == 0);
    CHECK(p->state(Gpa{4 * GiB}) == PageState::NotAdded);
    CHECK(p->state(Gpa{0xa'0000}) == PageState::NotAdded);
    CHECK_MEMORY(m, p.memory);
    // Without the frames it refuses, and nothing has changed.
    REQUIRE(p->balloon_out(Gpa{16 * MiB}, 4096).ok());
    u8 const mark = 0x42;
    REQUIRE(p->write(Gpa{0x8000}, std::span{&mark, 1}).ok());
    m.fill_up(1000);
    CHECK(p->restart_shortage_pages() == 4096 - m.frames->free_pages());
    CHECK(p->reset_for_restart().error() == RangeError::OutOfFrames);
    CHECK(*p->page(Gpa{0x8000}).value() == mark);
    CHECK(p->ballooned_pages() == 4096);
    CHECK_MEMORY(m, p.memory);
    m.let_go();
    REQUIRE(p->reset_for_restart().ok());
    CHECK(*p->page(Gpa{0x8000}).value() == 0);
    for (u64 at = 2 * MiB; at < 64 * MiB; at += 2 * MiB) {
        p->touch(Gpa{at}, Access::W);
    }
    CHECK(p->mapped_large_pages() == 31 * 512); // large again after a life in pieces
    CHECK(p.shared_allocations() == 0);
    CHECK_MEMORY(m, p.memory);
}

TEST_CASE("a partition that does not fit is refused with the numbers", "[mm][guest]") {
    GuestMachine m{512 * MiB, 2};
    using Why = GuestMemoryRefusal::Why;
    {
        Partition<Ept> p{*m.frames, sized(600 * MiB, 700 * MiB)};
        REQUIRE_FALSE(p.created.ok());
        CHECK(p.created.error().why == Why::NotEnough);
        CHECK(p.created.error().needed_pages == 600 * 256 - 32);
        CHECK(p.created.error().free_pages == m.frames->free_pages());
    }
    GuestMemoryConfig one_node = sized(300 * MiB, 400 * MiB);
    one_node.numa_spanning = false;
    {
        Partition<Ept> p{*m.frames, one_node};
        REQUIRE_FALSE(p.created.ok());
        CHECK(p.created.error().why == Why::NoNodeFits);
        CHECK(p.created.error().needed_pages == 300 * 256 - 32);
        CHECK(p.created.error().free_pages == m.frames->free_pages(p.created.error().node));
    }
    {
        // With so little free in all it would have to wait, but no wait makes it fit on one node.
        Partition<Ept> other{*m.frames, sized(280 * MiB, 280 * MiB, 1)};
        REQUIRE(other.created.ok());
        Partition<Ept> p{*m.frames, one_node};
        REQUIRE_FALSE(p.created.ok());
        GuestMemoryRefusal const why = p.created.error();
        CHECK(m.frames->guest_free_pages() < why.needed_pages);
        CHECK(why.why == Why::NoNodeFits);
        CHECK(why.needed_pages == 300 * 256 - 32);
        REQUIRE(why.node < 2);
        CHECK(why.free_pages == m.frames->free_pages(why.node));
        CHECK(why.free_pages >= m.frames->free_pages(1 - why.node));
        // What fits on a node once others have gone is worth waiting for, and so is what may span.
        GuestMemoryConfig fits_later = sized(240 * MiB, 240 * MiB);
        fits_later.numa_spanning = false;
        for (GuestMemoryConfig const& config : {fits_later, sized(300 * MiB, 400 * MiB)}) {
            Partition<Ept> later{*m.frames, config};
            REQUIRE_FALSE(later.created.ok());
            CHECK(later.created.error().why == Why::NotEnough);
        }
    }
    CHECK(m.frames->free_pages() == m.free_at_start);
    {
        Partition<Ept> spanning{*m.frames, sized(300 * MiB, 400 * MiB)};
        CHECK(spanning.created.ok());
        CHECK_MEMORY(m, spanning.memory);
    }
    one_node.startup_bytes = 200 * MiB;
    {
        Partition<Ept> p{*m.frames, one_node};
        REQUIRE(p.created.ok());
        CHECK(m.frames->free_pages(p->node()) < 60 * 256);
        CHECK(m.frames->free_pages(1 - p->node()) > 250 * 256);
        CHECK(p->hot_add(Gpa{4 * GiB}, 60 * 256).error() ==
              RangeError::OutOfFrames); // not from the other node
        CHECK_MEMORY(m, p.memory);
    }
    for (u32 const near : {0u, 1u, 2u, kAnyNode}) { // there is no node 2
        one_node.near_node = near;
        u32 const emptiest = m.frames->free_pages(1) > m.frames->free_pages(0) ? 1 : 0;
        Partition<Ept> p{*m.frames, one_node};
        REQUIRE(p.created.ok());
        CHECK(p->node() == (near < 2 ? near : emptiest));
        GuestMemoryConfig beside = one_node;
        beside.owner = partition_owner(1);
        beside.near_node = p->node();
        Partition<Ept> other{*m.frames, beside};
        REQUIRE(other.created.ok());
        CHECK(other->node() == 1 - p->node()); // the near one has no room any more
    }
    for (u32 const near : {0u, 1u}) { // as much as it needs, and nothing for its tables
        u64 const exact = one_node.startup_bytes / kPage - 32;
        while (m.frames->free_pages(near) > exact) {
            unsigned const order = m.frames->free_pages(near) - exact >= 512 ? 9 : 0;
            auto const at = m.frames->allocate(order, near, m.kHolder, FrameKind::Data);
            REQUIRE(at.ok());
            m.held.push_back({at.value(), order});
        }
        one_node.near_node = near;
        Partition<Ept> p{*m.frames, one_node};
        REQUIRE(p.created.ok());
        CHECK(p->node() == 1 - near);
        m.let_go();
    }
    m.frames->set_reserve(400 * 256);
    Partition<Ept> p{*m.frames, sized(120 * MiB, 120 * MiB)};
    REQUIRE_FALSE(p.created.ok()); // the reserve is not for guests
    CHECK(p.created.error().free_pages == m.frames->guest_free_pages());
    for (GuestMemoryConfig bad :
         {sized(512 * KiB, 1 * MiB), sized(64 * MiB, 32 * MiB), sized(64 * MiB + 1, 65 * MiB),
          sized(64 * MiB, 64 * MiB + 5), sized(~0ull << 12, ~0ull << 12)}) {
        Partition<Ept> refused{*m.frames, bad};
        REQUIRE_FALSE(refused.created.ok());
        CHECK(refused.created.error().why == Why::BadSizes);
    }
    CHECK(m.frames->free_pages() == m.free_at_start);
}

TEST_CASE("out of host memory at any point of creation leaves nothing behind", "[mm][guest]") {
    GuestMachine m{64 * MiB};
    u64 const needed = 16 * 256 - 32;
    unsigned made = 0, refused = 0;
    for (u64 extra = 0; extra < 40; ++extra) {
        m.fill_up(needed + extra);
        u64 const before = m.frames->free_pages();
        {
            KernelHeap heap{*m.frames, partition_owner(0)};
            auto memory = GuestMemory::create(heap, *m.frames, sized(16 * MiB, 64 * MiB));
            if (memory.ok()) {
                ++made;
                GuestMemory::destroy(heap, memory.value());
            } else {
                ++refused;
            }
        }
        CHECK(m.frames->free_pages() == before);
        m.let_go();
    }
    CHECK(made > 0);
    CHECK(refused > 3);
}

TEST_CASE("host memory too scattered for a partition's tables is a refusal", "[mm][guest]") {
    GuestMachine m{64 * MiB};
    // Single frames apart from each other: enough for guest memory, none for tables of two pages.
    std::vector<Hpa> kept;
    while (auto const frame = m.frames->allocate(0, kAnyNode, Owner::Hypervisor, FrameKind::Data)) {
        kept.push_back(frame.value());
    }
    for (Hpa const frame : kept) {
        if (frame.pfn() % 2 == 0) {
            m.frames->free(frame, 0, Owner::Hypervisor);
        }
    }
    u64 const before = m.frames->free_pages();
    for (u64 const maximum : {128 * MiB, 1 * GiB}) { // one of the two tables fits into a page, neither does
        KernelHeap heap{*m.frames, partition_owner(0)};
        auto const memory = GuestMemory::create(heap, *m.frames, sized(1 * MiB, maximum));
        REQUIRE_FALSE(memory.ok());
        CHECK(memory.error().why == GuestMemoryRefusal::Why::NoHostMemory);
        CHECK(heap.pages() == 0);
    }
    CHECK(m.frames->free_pages() == before);
}

TEST_CASE("a partition's own cost stays in its budget", "[mm][guest]") {
    GuestMachine m{4 * GiB};
    Partition<Ept> p{*m.frames, sized(2 * GiB, 8 * GiB)};
    OwnerCount const has = m.frames->count(partition_owner(0));
    CHECK((has.pages - has.guest_pages) * kPage <= 512 * KiB + 8 * GiB / 400);
    // The worst case: every block in pieces, each with a table of its own.
    for (u64 at = 2 * MiB; at < 2 * GiB; at += 2 * MiB) {
        REQUIRE(p->balloon_out(Gpa{at + 3 * kPage}, 1).ok());
        REQUIRE(p->touch(Gpa{at}, Access::W) == Touch::Mapped);
    }
    OwnerCount const worst = m.frames->count(partition_owner(0));
    CHECK((worst.pages - worst.guest_pages) * kPage <= 512 * KiB + 2 * GiB / 400 + 8 * GiB / 4000);
    CHECK(p.shared_allocations() == 0);
}

BOTH("guest addresses of any kind are data, never a crash") {
    GuestMachine m{128 * MiB};
    Partition<TestType> p{*m.frames, sized(16 * MiB, 32 * MiB)};
    std::vector<u8> bytes(3 * kPage, 1);
    CHECK(p->read(Gpa{~0ull - 5}, bytes).error() == GuestMemoryError::NotRam);
    CHECK(p->write(Gpa{16 * MiB - 10}, bytes).error() == GuestMemoryError::NotRam);
    CHECK(p->write(Gpa{0x9'ffff}, std::span{bytes}.first(2)).error() == GuestMemoryError::NotRam);
    CHECK(p->page(Gpa{0xfee0'0000}).error() == GuestMemoryError::NotRam);
    CHECK(p->page(Gpa{4 * GiB}).error() == GuestMemoryError::NotRam);
    CHECK(p->read(Gpa{~0ull}, {}).ok());
    for (usize i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<u8>(i * 7);
    }
    std::vector<u8> back(bytes.size());
    REQUIRE(p->write(Gpa{2 * MiB - 4000}, bytes).ok()); // from small pages into a large one
    REQUIRE(p->read(Gpa{2 * MiB - 4000}, back).ok());
    CHECK(back == bytes);
    CHECK(store(*p.memory, Gpa{0x7ffc}, u64{0x1122334455667788}).ok());
    CHECK(fetch<u64>(*p.memory, Gpa{0x7ffc}).value() == 0x1122334455667788);
    CHECK_MEMORY(m, p.memory);
}

BOTH("a random life of two neighbours keeps every invariant") {
    GuestMachine m{160 * MiB};
    m.frames->set_reserve(200);
    {
        Partition<TestType> a{*m.frames, sized(48 * MiB, 96 * MiB, 0)};
        GuestMemoryConfig config = sized(48 * MiB, 96 * MiB, 1);
        config.small_pages_only = GENERATE(false, true);
        Partition<TestType> b{*m.frames, config};
        struct Model {
            std::vector<PageState> page = std::vector<PageState>(96 * 256, PageState::NotAdded);
            std::vector<u8> value = std::vector<u8>(96 * 256, 0); ///< first byte of the page
            void restart() {
                for (u64 i = 0; i < page.size(); ++i) {
                    bool const hole = i >= 0xa0 && i < 0xc0;
                    page[i] = i < 48 * 256 && !hole ? PageState::Backed : PageState::NotAdded;
                    value[i] = 0;
                }
            }
        } models[2];
        models[0].restart();
        models[1].restart();
        auto const gpa_of = [](u64 page) {
            return Gpa{page < 48 * 256 ? page * kPage : 4 * GiB + (page - 48 * 256) * kPage};
        };
        std::mt19937 random{99};
        unsigned ok_count[7] = {}, refused_count[7] = {};
        for (int step = 0; step < 4000; ++step) {
            unsigned const who = random() % 2, what = random() % 46;
            GuestMemory& memory = who != 0 ? *b.memory : *a.memory;
            Model& model = models[who];
            u64 const half = random() % 2 * 48 * 256;
            u64 first = half + random() % (48 * 256), count = 1 + random() % (random() % 3 ? 40 : 2500);
            if (random() % 3 == 0) {
                first &= ~511ull;
                count = (count + 511) & ~511ull;
            }
            count = std::min(count, half + 48 * 256 - first);
            auto const all = [&](PageState s) {
                return std::all_of(&model.page[first], &model.page[first] + count,
                                   [&](PageState x) { return x == s; });
            };
            auto const set = [&](PageState s) {
                std::fill_n(&model.page[first], count, s);
                std::fill_n(&model.value[first], count, 0);
            };
            unsigned op = 0;
            bool done = false;
            if (what < 14) {
                for (u64 i = 0; i < std::min<u64>(count, 30); ++i) {
                    u64 const page = first + i;
                    auto const host = memory.page(gpa_of(page));
                    REQUIRE(host.ok() == (model.page[page] == PageState::Backed));
                    if (host.ok()) {
                        REQUIRE(*host.value() == model.value[page]);
                        *host.value() = model.value[page] = static_cast<u8>(random());
                        done = true;
                    }
                }
            } else if (what < 22) {
                op = 1;
                done = memory.balloon_out(gpa_of(first), count).ok();
                REQUIRE(done == all(PageState::Backed));
                if (done) {
                    set(PageState::Ballooned);
                }
            } else if (what < 32) {
                op = 2;
                done = memory.give_back(gpa_of(first), count).ok();
                REQUIRE((!done || all(PageState::Ballooned)));
                if (done) {
                    set(PageState::Backed);
                }
            } else if (what < 37) {
                op = 3;
                done = memory.hot_add(gpa_of(first), count).ok();
                REQUIRE((!done || (all(PageState::NotAdded) && half != 0)));
                if (done) {
                    set(PageState::Backed);
                }
            } else if (what < 39) {
                op = 4;
                done = memory.compact_block(gpa_of(first));
            } else if (what < 45) {
                op = 6;
                // Guards come, change and go; a page keeps its bytes, and a touch knows what is denied.
                for (u64 i = 0; i < std::min<u64>(count, 8); ++i) {
                    Gpa const at = gpa_of(first + i);
                    Access const rights = static_cast<Access>(random() % 8);
                    if (random() % 3 == 0) {
                        memory.unguard(at);
                        REQUIRE_FALSE(memory.is_guarded(at));
                    } else if (memory.guard(at, rights).ok()) {
                        done = true;
                        REQUIRE(model.page[first + i] == PageState::Backed);
                        REQUIRE((memory.guarded(at) == rights || !has(rights, Access::R)));
                        REQUIRE(memory.touch(at, Access::W) ==
                                (has(memory.guarded(at), Access::W) ? Touch::Mapped : Touch::Guarded));
                        REQUIRE(*memory.page(at).value() == model.value[first + i]);
                    }
                }
            } else if (random() % 8 == 0) {
                op = 5;
                done = memory.reset_for_restart().ok();
                if (done) {
                    model.restart();
                }
            }
            (done ? ok_count : refused_count)[op] += 1;
            if (step % 40 == 0) {
                REQUIRE(verdict(*m.frames, {a.memory, b.memory}) == "ok");
            }
        }
        REQUIRE(verdict(*m.frames, {a.memory, b.memory}) == "ok");
        for (unsigned op = 0; op < 7; ++op) {
            CAPTURE(op);
            CHECK(ok_count[op] >= 3);
        }
        CHECK(refused_count[1] > 20);
        CHECK(a->counters().dropped_guards + b->counters().dropped_guards > 100);
        CHECK(a.shared_allocations() == 0);
        CHECK(b.shared_allocations() == 0);
    }
    CHECK(m.frames->free_pages() == m.free_at_start);
}
