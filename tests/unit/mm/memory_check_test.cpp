// SPDX-License-Identifier: Apache-2.0
// The check must see each kind of damage. Every case breaks one thing behind everybody's back.
#include "tests/unit/mm/guest_bed.hpp"

using namespace hv;
using namespace hv::mm;
using namespace hv::test;
using Kind = MemoryViolation::Kind;

namespace {
struct Bed {
    GuestMachine m{128 * MiB};
    Partition<Ept> a{*m.frames,
                     {.owner = partition_owner(0), .startup_bytes = 16 * MiB, .maximum_bytes = 32 * MiB}};
    Partition<Ept> b{*m.frames,
                     {.owner = partition_owner(1), .startup_bytes = 16 * MiB, .maximum_bytes = 32 * MiB}};

    Bed() {
        for (u64 at : {u64{0x1000}, 2 * MiB, 4 * MiB}) {
            a->touch(Gpa{at}, Access::W);
            b->touch(Gpa{at}, Access::W);
        }
    }
    MemoryReport check() {
        GuestMemory const* const both[] = {a.memory, b.memory};
        return check_memory(*m.frames, both);
    }
    Kind found() { return check().violation.kind; }
    Hpa frame_of(Partition<Ept>& p, u64 gpa) { return p.map->lookup(Gpa{gpa}).value().hpa; }
    BlockRecord& record(Hpa at) { return m.frames->table().block(m.frames->table().block_index(at)); }
};
} // namespace

TEST_CASE("a sound machine passes, and its sums add up to its RAM", "[mm][check]") {
    Bed bed;
    MemoryReport const r = bed.check();
    REQUIRE(r.ok());
    CHECK(r.ram_pages == 128 * 256);
    CHECK(r.ram_pages == r.free_pages + r.hypervisor_pages + r.assigned_pages);
    CHECK(r.assigned_pages == 2 * (16 * 256 - 32));
    CHECK((r.leaves_2m == 4 && r.leaves_4k == 2 && r.leaves_1g == 0));
    CHECK(r.table_pages == bed.a.map->counts().table_frames + bed.b.map->counts().table_frames);
    CHECK(bed.check().ok()); // its marks do not disturb the next
    char text[400];
    TextBuffer out{text};
    print(out, r);
    CHECK(out.text().find("memory check ok: 32768 pages of RAM") == 0);
    CHECK_FALSE(out.truncated());
}

TEST_CASE("the check finds damage to the maps", "[mm][check]") {
    Bed bed;
    SECTION("another's frame") {
        REQUIRE(bed.a.map->unmap(Gpa{0x1000}, kPageBytes).ok());
        REQUIRE(bed.a.map->map(Gpa{0x1000}, bed.frame_of(bed.b, 0x1000), kPageBytes, Access::RWX).ok());
        MemoryReport const r = bed.check();
        CHECK(r.violation.kind == Kind::LeafNotOwned);
        CHECK(r.violation.gpa == Gpa{0x1000});
        CHECK(r.violation.owner == partition_owner(0));
        char text[300];
        TextBuffer out{text};
        print(out, r);
        CHECK(out.text().find("FAILED: a guest maps a frame that is not its own: owner 16 gpa 1000") !=
              std::string_view::npos);
        REQUIRE(bed.a.map->unmap(Gpa{0x1000}, kPageBytes).ok());
        return; // its own frame is lost now; the partition is not ended cleanly below
    }
    SECTION("a frame that is free, past all RAM, or a nested table") {
        for (Hpa at : {bed.m.frames->allocate(0, kAnyNode, Owner::Hypervisor, FrameKind::Data).value(),
                       Hpa{77 * GiB}, bed.a.map->root()}) {
            REQUIRE(bed.a.map->map(Gpa{0x3000}, at, kPageBytes, Access::RWX).ok());
            CHECK(bed.found() == Kind::LeafNotOwned);
            REQUIRE(bed.a.map->unmap(Gpa{0x3000}, kPageBytes).ok());
        }
    }
    SECTION("one frame at two addresses, small in small") {
        REQUIRE(bed.a.map->map(Gpa{0x3000}, bed.frame_of(bed.a, 0x1000), kPageBytes, Access::RWX).ok());
        CHECK(bed.found() == Kind::FrameTwice);
        REQUIRE(bed.a.map->unmap(Gpa{0x3000}, kPageBytes).ok());
    }
    SECTION("one frame at two addresses, small in large") {
        Hpa const inside = bed.frame_of(bed.a, 2 * MiB) + 5 * kPageBytes;
        REQUIRE(bed.a.map->map(Gpa{0x3000}, inside, kPageBytes, Access::RWX).ok());
        CHECK(bed.found() == Kind::FrameTwice);
        REQUIRE(bed.a.map->unmap(Gpa{0x3000}, kPageBytes).ok());
    }
    SECTION("a frame that waits for its first touch") {
        Hpa const waiting{u64{bed.a->block(4).run} * kLargePageBytes};
        REQUIRE(bed.a.map->map(Gpa{10 * MiB}, waiting, kLargePageBytes, Access::RWX).ok());
        CHECK_FALSE(bed.check().ok());
        REQUIRE(bed.a.map->unmap(Gpa{10 * MiB}, kLargePageBytes).ok());
    }
    SECTION("a page that was given away, still mapped to a frame of its own") {
        REQUIRE(bed.a->balloon_out(Gpa{0x5000}, 1).ok());
        Hpa const frame = bed.frame_of(bed.a, 0x1000);
        REQUIRE(bed.a.map->unmap(Gpa{0x1000}, kPageBytes).ok());
        REQUIRE(bed.a.map->map(Gpa{0x5000}, frame, kPageBytes, Access::RWX).ok());
        CHECK(bed.found() == Kind::LeafNotBacked);
        REQUIRE(bed.a.map->unmap(Gpa{0x5000}, kPageBytes).ok());
        REQUIRE(bed.a.map->map(Gpa{0x1000}, frame, kPageBytes, Access::RWX).ok());
    }
    SECTION("a split nobody told of") {
        REQUIRE(bed.a.map->split(Gpa{2 * MiB}, kPageBytes).ok());
        CHECK(bed.found() == Kind::MappedCount);
        REQUIRE(bed.a.map->try_join(Gpa{2 * MiB}));
    }
    SECTION("a guard nobody counted") {
        REQUIRE(bed.a.map->guard(Gpa{0x1000}, Access::RW).ok());
        CHECK(bed.found() == Kind::GuardCount);
        REQUIRE(bed.a.map->unguard(Gpa{0x1000}));
    }
    SECTION("a guard that vanished") {
        REQUIRE(bed.a->guard(Gpa{0x1000}, Access::None).ok());
        CHECK(bed.check().ok());
        REQUIRE(bed.a.map->unguard(Gpa{0x1000}));
        CHECK(bed.found() == Kind::GuardCount);
        REQUIRE(bed.a.map->guard(Gpa{0x1000}, Access::RWX).ok());
    }
    SECTION("a page with less than all rights and no guard") {
        Hpa const frame = bed.frame_of(bed.a, 0x1000);
        REQUIRE(bed.a.map->unmap(Gpa{0x1000}, kPageBytes).ok());
        REQUIRE(bed.a.map->map(Gpa{0x1000}, frame, kPageBytes, Access::RX).ok());
        CHECK(bed.found() == Kind::GuardCount);
        REQUIRE(bed.a.map->unmap(Gpa{0x1000}, kPageBytes).ok());
        REQUIRE(bed.a.map->map(Gpa{0x1000}, frame, kPageBytes, Access::RWX).ok());
    }
    SECTION("a leaf that vanished") {
        Hpa const frame = bed.frame_of(bed.a, 2 * MiB);
        REQUIRE(bed.a.map->unmap(Gpa{2 * MiB}, kLargePageBytes).ok());
        CHECK(bed.found() == Kind::MappedCount);
        REQUIRE(bed.a.map->map(Gpa{2 * MiB}, frame, kLargePageBytes, Access::RWX).ok());
    }
    CHECK(bed.check().ok());
}

TEST_CASE("the check finds damage to the frame table", "[mm][check]") {
    Bed bed;
    Hpa const whole = bed.frame_of(bed.a, 2 * MiB), small = bed.frame_of(bed.a, 0x1000);
    FrameGroup& group = bed.m.frames->table().group(bed.record(small));
    FrameRecord& frame = group.frame[small.pfn() % 512];
    FrameRecord const saved = frame;
    SECTION("a guest block passed to another") {
        bed.record(whole).owner = partition_owner(1);
        CHECK(bed.found() == Kind::LeafNotOwned);
        bed.record(whole).owner = partition_owner(0);
    }
    SECTION("a mapped frame marked free") {
        frame = {Owner::Free, FrameKind::Free, 0};
        CHECK(bed.found() == Kind::LeafNotOwned);
        frame = saved;
    }
    SECTION("a bit that says free") {
        group.free.set_run(small.pfn() % 512, 0, true);
        CHECK(bed.found() == Kind::BadRecord);
        group.free.set_run(small.pfn() % 512, 0, false);
    }
    SECTION("a table frame owned by somebody else") {
        Hpa const root = bed.a.map->root();
        bed.m.frames->set_owner(root, 0, partition_owner(0), Owner::Hypervisor, FrameKind::NestedTable);
        CHECK(bed.found() == Kind::TableNotOwned);
        bed.m.frames->set_owner(root, 0, Owner::Hypervisor, partition_owner(0), FrameKind::NestedTable);
    }
    SECTION("guest frames that nobody maps or holds") {
        Hpa const extra = bed.m.frames->allocate(0, kAnyNode, partition_owner(0), FrameKind::Guest).value();
        CHECK(bed.found() == Kind::AssignedCount);
        bed.m.frames->set_owner(extra, 0, partition_owner(0), partition_owner(9), FrameKind::Guest);
        CHECK(bed.found() == Kind::FrameLost);
        bed.m.frames->free(extra, 0, partition_owner(9));
    }
    SECTION("a block's owner count") {
        Hpa const data = bed.m.frames->allocate(9, kAnyNode, Owner::Hypervisor, FrameKind::Data).value();
        bed.record(data).owner = partition_owner(5);
        CHECK(bed.found() == Kind::OwnerCount);
        bed.record(data).owner = Owner::Hypervisor;
        bed.m.frames->free(data, 9, Owner::Hypervisor);
    }
    SECTION("a count of free frames in a block") {
        bed.record(small).free_frames += 1;
        CHECK(bed.found() == Kind::FreeCount);
        bed.record(small).free_frames -= 1;
    }
    SECTION("a page state") {
        auto& states = const_cast<BlockStates&>(bed.a->states(3));
        states.set(7, 1, PageState::Ballooned);
        CHECK(bed.found() == Kind::BlockCounts);
        states.set(7, 1, PageState::Backed);
    }
    CHECK(bed.check().ok());
}
