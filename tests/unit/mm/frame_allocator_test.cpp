// SPDX-License-Identifier: Apache-2.0
#include "hv/mm/frame_allocator.hpp"
#include "tests/fakes/arena_ram.hpp"
#include "tests/unit/mm/death.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace hv;
using namespace hv::mm;
using hv::test::ArenaRam;
using hv::test::dies;

namespace {
constexpr Owner kAlice = partition_owner(0), kBob = partition_owner(1);

struct Machine {
    explicit Machine(std::vector<RamRange> const& ranges, u64 arena = 8 * GiB) : ram{Hpa{0}, arena} {
        result = frames->build(ranges, ram.map()).ok();
    }
    Hpa take(unsigned order, Owner owner = kAlice, FrameKind kind = FrameKind::Guest, u32 node = kAnyNode) {
        return frames->allocate(order, node, owner, kind).value();
    }
    /// Every free frame counted one by one agrees with the pools' and the allocator's counters.
    bool books_balance() const {
        u64 free = 0, owned[64] = {}, ram_pages = 0;
        FrameTable const& table = frames->table();
        for (u32 i = 0; i < table.block_count(); ++i) {
            for (u64 f = 0; f < 512; ++f) {
                FrameInfo const info = table.at(table.block_address(i) + f * kPageBytes);
                ram_pages += info.kind != FrameKind::NotRam;
                free += info.kind == FrameKind::Free;
                if (info.kind > FrameKind::Free) {
                    ++owned[static_cast<u16>(info.owner)];
                }
            }
        }
        u64 pools = 0;
        for (u32 n = 0; n < frames->node_count(); ++n) {
            pools += frames->free_pages(n);
        }
        bool good = free == frames->free_pages() && free == pools && ram_pages == table.ram_pages();
        for (u16 owner = 1; owner < 64; ++owner) {
            good = good && owned[owner] == frames->count(static_cast<Owner>(owner)).pages;
        }
        return good;
    }

    ArenaRam ram;
    std::unique_ptr<FrameAllocator> frames = std::make_unique<FrameAllocator>();
    bool result;
};
RamRange range(u64 base, u64 bytes, u32 node = 0, FrameKind kind = FrameKind::Free) {
    return {Hpa{base}, bytes, node, kind};
}
} // namespace

TEST_CASE("pieces come naturally aligned, and freeing all restores the largest runs", "[mm][frames]") {
    Machine m{{range(1 * GiB, 3 * GiB)}};
    REQUIRE(m.result);
    u64 const before = m.frames->free_pages();
    u32 const huge_before = m.frames->free_runs(0, 18);
    CHECK(huge_before == 2); // the table itself sits in the third
    std::vector<std::pair<Hpa, unsigned>> taken;
    for (unsigned order : {0u, 9u, 18u, 3u, 0u, 8u, 12u, 5u, 7u, 6u, 1u}) {
        Hpa const at = m.take(order);
        CHECK(at.aligned(kPageBytes << order));
        CHECK(m.frames->table().owned_by(kAlice, at, 1ull << order));
        taken.push_back({at, order});
    }
    CHECK(m.books_balance());
    for (auto [at, order] : taken) {
        m.frames->free(at, order, kAlice);
    }
    CHECK(m.frames->free_pages() == before);
    CHECK(m.frames->free_runs(0, 18) == huge_before);
    CHECK(m.frames->count(kAlice).pages == 0);
    CHECK(m.books_balance());
}

TEST_CASE("exhaustion is an error, and what comes back can be had again", "[mm][frames]") {
    Machine m{{range(0, 16 * MiB)}};
    std::vector<Hpa> taken;
    for (;;) {
        auto const at = m.frames->allocate(0, kAnyNode, kAlice, FrameKind::Guest);
        if (!at.ok()) {
            CHECK(at.error() == FrameError::OutOfFrames);
            break;
        }
        taken.push_back(at.value());
    }
    CHECK(taken.size() == 16 * MiB / kPageBytes - m.frames->table().table_bytes() / kPageBytes);
    CHECK(m.frames->free_pages() == 0);
    std::sort(taken.begin(), taken.end());
    CHECK(std::adjacent_find(taken.begin(), taken.end()) == taken.end());
    CHECK(m.books_balance());
    std::shuffle(taken.begin(), taken.end(), std::mt19937{1});
    for (Hpa at : taken) {
        m.frames->free(at, 0, kAlice);
    }
    CHECK(m.frames->allocate(11, 0, kAlice, FrameKind::Guest).ok());
}

TEST_CASE("a block may be allocated whole and freed in pieces, and the other way round", "[mm][frames]") {
    Machine m{{range(0, 64 * MiB)}};
    Hpa const whole = m.take(9);
    u64 const free_before = m.frames->free_pages();
    m.frames->free(whole + 5 * kPageBytes, 0, kAlice);
    CHECK(m.frames->table().at(whole + 5 * kPageBytes).kind == FrameKind::Free);
    CHECK(m.frames->table().at(whole + 6 * kPageBytes).owner == kAlice);
    REQUIRE(m.frames->allocate_at(whole + 5 * kPageBytes, 0, kAlice, FrameKind::Guest).ok());
    m.frames->free(whole, 9, kAlice); // 512 single records of one owner are one block again
    CHECK(m.frames->free_pages() == free_before + 512);
    CHECK(m.books_balance());

    Hpa const again = m.take(10);
    m.frames->free_pages(again + 3 * kPageBytes, 1000, kAlice);
    CHECK(m.frames->count(kAlice).pages == 24);
    m.frames->free_pages(again, 3, kAlice);
    m.frames->free_pages(again + 1003 * kPageBytes, 21, kAlice);
    CHECK(m.frames->count(kAlice).pages == 0);
    CHECK(m.books_balance());
}

TEST_CASE("an exact frame is had if and only if it is free", "[mm][frames]") {
    Machine m{{range(0, 256 * MiB)}};
    Hpa const wanted{77 * kLargePageBytes + 9 * kPageBytes};
    CHECK(m.frames->allocate_at(wanted, 0, kBob, FrameKind::Guest).ok());
    CHECK_FALSE(m.frames->allocate_at(wanted, 0, kBob, FrameKind::Guest).ok());
    CHECK_FALSE(m.frames->allocate_at(Hpa{77 * kLargePageBytes}, 9, kBob, FrameKind::Guest).ok());
    CHECK(m.frames->allocate_at(Hpa{78 * kLargePageBytes}, 9, kBob, FrameKind::Guest).ok());
    CHECK_FALSE(m.frames->allocate_at(Hpa{78 * kLargePageBytes}, 9, kAlice, FrameKind::Guest).ok());
    CHECK_FALSE(m.frames->allocate_at(Hpa{300 * MiB}, 0, kBob, FrameKind::Guest).ok());
    CHECK_FALSE(m.frames->allocate_at(Hpa{9 * GiB}, 0, kBob, FrameKind::Guest).ok());
    CHECK(m.books_balance());
    m.frames->free(wanted, 0, kBob);
    m.frames->free(Hpa{78 * kLargePageBytes}, 9, kBob);
    CHECK(m.frames->count(kBob).pages == 0);
    CHECK(m.books_balance());
}

TEST_CASE("freeing twice, freeing another's, and freeing what is not RAM are bugs", "[mm][frames]") {
    Machine m{{range(0, 32 * MiB)}};
    Hpa const one = m.take(0), block = m.take(9);
    Hpa const bobs = m.take(0, kBob);
    CHECK(dies([&] { m.frames->free(one, 0, kBob); }));
    CHECK(dies([&] { m.frames->free(bobs, 0, kAlice); }));
    CHECK(dies([&] { m.frames->free(Hpa{5 * GiB}, 0, kAlice); }));
    CHECK(dies([&] { m.frames->free(block + kPageBytes, 9, kAlice); })); // not aligned
    m.frames->free(one, 0, kAlice);
    m.frames->free(block, 9, kAlice);
    CHECK(dies([&] { m.frames->free(one, 0, kAlice); }));
    CHECK(dies([&] { m.frames->free(block, 9, kAlice); }));
    CHECK(dies([&] { m.frames->free(block + kPageBytes, 0, kAlice); }));
}

TEST_CASE("the reserve is kept from guests but not from the hypervisor", "[mm][frames]") {
    Machine m{{range(0, 32 * MiB)}};
    m.frames->set_reserve(m.frames->free_pages() - 100);
    CHECK(m.frames->guest_free_pages() == 100);
    CHECK(m.frames->allocate(6, kAnyNode, kAlice, FrameKind::Guest).ok());
    auto const refused = m.frames->allocate(6, kAnyNode, kAlice, FrameKind::Guest);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error() == FrameError::Reserve);
    CHECK(m.frames->allocate(6, kAnyNode, Owner::Hypervisor, FrameKind::Data).ok());
    CHECK(m.frames->guest_free_pages() == 0);
}

TEST_CASE("nodes keep their own frames and never join across the border", "[mm][frames]") {
    // The border lies in the middle of a 1 GiB granule whose halves are both free, and so would be buddies.
    Machine m{{range(0, 1536 * MiB, 0), range(1536 * MiB, 2048 * MiB, 1)}};
    CHECK(m.frames->free_runs(0, 17) == 1);
    CHECK(m.frames->free_runs(1, 17) == 1);
    CHECK(m.frames->node_count() == 2);
    Hpa const first = m.take(0, kAlice, FrameKind::Guest, 1);
    CHECK(first.raw >= 1536 * MiB);
    CHECK(m.frames->table().at(first).node == 1);
    m.frames->free(first, 0, kAlice);
    u64 const have = m.frames->free_pages(0);
    while (m.frames->allocate(9, 0, kBob, FrameKind::Guest).ok()) {
    }
    CHECK(m.frames->free_pages(0) < 512);
    CHECK(m.frames->count(kBob).guest_pages == have - m.frames->free_pages(0));
    CHECK_FALSE(m.frames->allocate(9, 0, kBob, FrameKind::Guest).ok());
    CHECK(m.take(9, kBob).raw >= 1536 * MiB); // any node
    CHECK_FALSE(m.frames->allocate(0, 7, kBob, FrameKind::Guest).ok());
    CHECK(m.books_balance());
}

TEST_CASE("any node means the one with most free frames", "[mm][frames]") {
    Machine m{{range(0, 1 * GiB, 0), range(1 * GiB, 2 * GiB, 1)}};
    CHECK(m.frames->table().at(m.take(9)).node == 1);
    while (m.frames->free_pages(1) >= m.frames->free_pages(0)) {
        m.take(9);
    }
    CHECK(m.frames->table().at(m.take(9)).node == 0);
}

TEST_CASE("what a node could give counts what partitions have, not the hypervisor's part", "[mm][frames]") {
    Machine m{{range(0, 1 * GiB, 0), range(1 * GiB, 2 * GiB, 1)}};
    u64 const free[2] = {m.frames->free_pages(0), m.frames->free_pages(1)};
    auto const limits = [&](u64 first, u64 second) {
        return m.frames->guest_limit_pages(0) == first && m.frames->guest_limit_pages(1) == second;
    };
    CHECK(limits(free[0], free[1]));
    Hpa const run = m.take(9, kAlice, FrameKind::Guest, 0);
    Hpa const one = m.take(0, kBob, FrameKind::NestedTable, 1);
    CHECK(m.frames->free_pages(0) == free[0] - 512);
    CHECK(limits(free[0], free[1])); // partitions' frames come back
    Hpa const own = m.take(9, Owner::Hypervisor, FrameKind::Data, 0);
    CHECK(limits(free[0] - 512, free[1]));
    m.frames->set_owner(one, 0, kBob, Owner::Hypervisor, FrameKind::Data);
    CHECK(limits(free[0] - 512, free[1] - 1));
    m.frames->set_owner(own, 9, Owner::Hypervisor, kBob, FrameKind::Guest);
    CHECK(limits(free[0], free[1] - 1));
    m.frames->free(run, 9, kAlice);
    m.frames->free(own, 9, kBob);
    m.frames->free(one, 0, Owner::Hypervisor);
    CHECK(limits(free[0], free[1]));
    REQUIRE(m.frames->allocate_at(run, 3, kAlice, FrameKind::Guest).ok());
    CHECK(limits(free[0], free[1]));
    // The reserve lies on other nodes for as long as there is room: any node's memory will do for it.
    m.frames->set_reserve(free[0]);
    CHECK(limits(free[0], free[1]));
    m.frames->set_reserve(free[0] + 7);
    CHECK(limits(free[0] - (free[0] + 7 > free[1] ? free[0] + 7 - free[1] : 0), free[1] - 7));
    m.frames->set_reserve(free[0] + free[1] + 1);
    CHECK(limits(0, 0));
}

TEST_CASE("ranges overlap, come unsorted and unaligned; no frame is counted twice", "[mm][frames]") {
    Machine m{{
        range(32 * MiB, 64 * MiB),
        range(0x1234, 1 * MiB), // page-aligned inwards
        range(40 * MiB + 0x3000, 5 * MiB, 0, FrameKind::Image),
        range(60 * MiB, 60 * MiB), // overlaps the first
        range(44 * MiB, 8 * MiB),  // overlaps the image: the image wins
        range(500 * MiB, 100),     // less than a page
        range(600 * MiB, 0),
    }};
    REQUIRE(m.result);
    FrameTable const& table = m.frames->table();
    CHECK(table.ram_pages() == (120 - 32) * MiB / kPageBytes + 255);
    CHECK(table.at(Hpa{0x1000}).kind == FrameKind::NotRam);
    CHECK(table.at(Hpa{0x2000}).kind == FrameKind::Free);
    CHECK(table.at(Hpa{0x100000}).kind == FrameKind::Free);
    CHECK(table.at(Hpa{0x101000}).kind == FrameKind::NotRam);
    CHECK(table.at(Hpa{40 * MiB + 0x2000}).kind == FrameKind::Free);
    CHECK(table.at(Hpa{40 * MiB + 0x3000}).kind == FrameKind::Image);
    CHECK(table.at(Hpa{44 * MiB}).owner == Owner::Hypervisor);
    CHECK(table.at(Hpa{45 * MiB + 0x3000}).kind == FrameKind::Free);
    CHECK(table.at(Hpa{500 * MiB}).kind == FrameKind::NotRam);
    CHECK(m.books_balance());
}

TEST_CASE("RAM at the top of the address space and far away costs no table for the gap", "[mm][frames]") {
    u64 const top = FrameTable::kPhysicalLimit;
    Machine m{{range(16 * MiB, 64 * MiB), range(top - 8 * MiB, 8 * MiB), range(top - 2 * MiB, ~0ull),
               range(~0ull - 4095, 4096), range(1ull << 44, 4 * MiB)}};
    REQUIRE(m.result);
    FrameTable const& table = m.frames->table();
    CHECK(table.ram_pages() == 76 * MiB / kPageBytes);
    CHECK(table.at(Hpa{top - kPageBytes}).kind == FrameKind::Free);
    CHECK(table.at(Hpa{top}).kind == FrameKind::NotRam);
    CHECK(table.at(Hpa{~0ull}).kind == FrameKind::NotRam);
    CHECK(table.table_bytes() < 256 * KiB);
    CHECK(m.frames->allocate_at(Hpa{top - 2 * MiB}, 9, kAlice, FrameKind::Guest).ok());
    CHECK(m.frames->allocate_at(Hpa{1ull << 44}, 9, kAlice, FrameKind::Guest).ok());
    CHECK(m.books_balance());
}

TEST_CASE("too many scattered places are counted as ignored, none at all is refused", "[mm][frames]") {
    std::vector<RamRange> scattered{range(0, 64 * MiB)};
    for (u64 i = 1; i < 40; ++i) {
        scattered.push_back(range(i * 4 * GiB, 1 * MiB));
    }
    Machine m{scattered};
    REQUIRE(m.result);
    CHECK(m.frames->table().ignored_bytes() == (40 - FrameTable::kMaxSegments) * MiB);
    CHECK(m.frames->table().at(Hpa{39 * 4 * GiB}).kind == FrameKind::NotRam);
    CHECK(m.books_balance());
    CHECK_FALSE(Machine{{}}.result);
    CHECK_FALSE(Machine{{range(0, 8 * KiB)}}.result);
    CHECK_FALSE(Machine{{range(0, 64 * MiB, 0, FrameKind::Image)}}.result);
}

TEST_CASE("the table takes about a thousandth of RAM and none of a free frame is written", "[mm][frames]") {
    Machine m{{range(0, 8 * GiB)}};
    CHECK(m.frames->table().table_bytes() < 8 * GiB / 900);
    Hpa const at{1 * GiB};
    m.ram.map().pointer<u64>(at)[0] = 42;
    REQUIRE(m.frames->allocate_at(at, 0, kAlice, FrameKind::Guest).ok());
    CHECK(m.ram.map().pointer<u64>(at)[0] == 42); // handed out as it was
    m.frames->free(at, 0, kAlice);
    CHECK(m.ram.map().pointer<u64>(at)[0] == 42); // and no link was written into it
}

TEST_CASE("set_owner moves the count with the frames", "[mm][frames]") {
    Machine m{{range(0, 32 * MiB)}};
    Hpa const block = m.take(9);
    m.frames->set_owner(block + kPageBytes, 0, kAlice, kAlice, FrameKind::NestedTable);
    CHECK(m.frames->count(kAlice).pages == 512);
    CHECK(m.frames->count(kAlice).guest_pages == 511);
    CHECK(m.frames->table().at(block + kPageBytes).kind == FrameKind::NestedTable);
    m.frames->set_owner(block, 0, kAlice, kBob, FrameKind::Guest);
    CHECK(m.frames->count(kBob).guest_pages == 1);
    CHECK(m.books_balance());
    CHECK(dies([&] { m.frames->free(block, 9, kAlice); })); // one of them is Bob's
}

TEST_CASE("a long random life keeps the books", "[mm][frames]") {
    Machine m{{range(0, 300 * MiB, 0), range(300 * MiB, 212 * MiB, 1)}};
    std::mt19937 random{7};
    std::vector<std::tuple<Hpa, unsigned, Owner>> live;
    std::map<u64, u64> model; // base → pages, to see that nothing overlaps
    for (int step = 0; step < 20000; ++step) {
        if (live.empty() || random() % 5 < 3) {
            unsigned const order = std::array{0u, 0u, 0u, 1u, 4u, 8u, 9u, 11u}[random() % 8];
            Owner const owner = random() % 2 != 0 ? kAlice : kBob;
            auto const at =
                m.frames->allocate(order, random() % 3 ? kAnyNode : random() % 2, owner, FrameKind::Data);
            if (at.ok()) {
                auto const next = model.lower_bound(at.value().raw);
                REQUIRE((next == model.end() || next->first >= at.value().raw + (kPageBytes << order)));
                REQUIRE((next == model.begin() ||
                         std::prev(next)->first + std::prev(next)->second * kPageBytes <= at.value().raw));
                model[at.value().raw] = 1ull << order;
                live.push_back({at.value(), order, owner});
            }
        } else {
            usize const pick = random() % live.size();
            auto const [at, order, owner] = live[pick];
            live[pick] = live.back();
            live.pop_back();
            model.erase(at.raw);
            m.frames->free_pages(at, 1ull << order, owner);
        }
    }
    CHECK(m.books_balance());
    for (auto [at, order, owner] : live) {
        m.frames->free(at, order, owner);
    }
    CHECK(m.books_balance());
    CHECK(m.frames->free_runs(0, 16) + m.frames->free_runs(0, 17) >= 1);
}

TEST_CASE("two processors at once get different frames and leave the books in order", "[mm][frames]") {
    Machine m{{range(0, 64 * MiB, 0), range(64 * MiB, 64 * MiB, 1)}};
    u64 const before = m.frames->free_pages();
    m.frames->set_reserve(1000);
    auto const life = [&](Owner owner) {
        std::mt19937 random{static_cast<u32>(owner)};
        std::vector<std::pair<Hpa, unsigned>> live;
        for (int step = 0; step < 20000; ++step) {
            if (live.empty() || random() % 3 != 0) {
                unsigned const order = random() % 4 == 0 ? 9 : random() % 4;
                if (auto at = m.frames->allocate(order, kAnyNode, owner, FrameKind::Guest); at.ok()) {
                    // Whoever else were given this frame would overwrite it.
                    *m.ram.map().pointer<u64>(at.value()) =
                        static_cast<u64>(owner) << 32 | static_cast<u32>(step);
                    live.push_back({at.value(), order});
                    continue;
                }
            }
            if (live.empty()) {
                continue;
            }
            std::swap(live[random() % live.size()], live.back());
            auto const [at, order] = live.back();
            live.pop_back();
            if (*m.ram.map().pointer<u64>(at) >> 32 != static_cast<u64>(owner)) {
                std::abort();
            }
            m.frames->free(at, order, owner);
        }
        for (auto [at, order] : live) {
            m.frames->free(at, order, owner);
        }
    };
    std::thread other{life, kBob};
    life(kAlice);
    other.join();
    CHECK(m.frames->free_pages() == before);
    CHECK(m.books_balance());
}
