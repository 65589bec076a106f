// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/loaders/loader_bed.hpp"

using namespace hv;
using namespace hv::partition;
using namespace hv::test;

TEST_CASE("a PVH kernel gets its segments and a start_info", "[loaders][pvh]") {
    bool const wide = GENERATE(false, true);
    PvhImage const image{.wide_note = wide};
    LoaderBed bed{image.make()};
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    EntryState const& entry = loaded.value();
    CHECK(entry.mode == EntryState::Mode::Protected32);
    CHECK(entry.rip == image.entry);
    check_gdt(bed, entry, false);
    for (Segment64 const& s : image.segments) {
        CHECK(bed.ram.holds(s.physical, s.bytes));
        CHECK(bed.ram.zero(s.physical + s.bytes.size(), s.memory_bytes - s.bytes.size()));
    }
    u64 const info = entry.rbx; // hvm_start_info
    CHECK(bed.ram.get<u32>(info) == 0x336e'c578);
    CHECK(bed.ram.get<u32>(info + 4) == 1);
    CHECK(bed.ram.get<u32>(info + 8) == 0);
    CHECK(bed.ram.get<u32>(info + 12) == 0); // no modules
    CHECK(bed.ram.text(bed.ram.get<u64>(info + 24)) == bed.command_line);
    CHECK(bed.ram.get<u64>(info + 32) == 0xe'0000);
    u64 const map = bed.ram.get<u64>(info + 40);
    REQUIRE(bed.ram.get<u32>(info + 48) == bed.map.size());
    for (usize i = 0; i < bed.map.size(); ++i) {
        CHECK(bed.ram.get<u64>(map + 24 * i) == bed.map[i].base.raw);
        CHECK(bed.ram.get<u64>(map + 24 * i + 8) == bed.map[i].bytes);
        CHECK(bed.ram.get<u32>(map + 24 * i + 16) == bed.map[i].type);
        CHECK(bed.ram.get<u32>(map + 24 * i + 20) == 0);
    }
}

TEST_CASE("initrd and modules come one below the other, the initrd first", "[loaders][pvh]") {
    LoaderBed bed{PvhImage{}.make()};
    bed.initrd = pattern(6000, 1);
    Image const extra = pattern(100, 2);
    bed.modules.push_back({extra, "extra"});
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    u64 const info = loaded.value().rbx, list = bed.ram.get<u64>(info + 16);
    REQUIRE(bed.ram.get<u32>(info + 12) == 2);
    u64 const first = bed.ram.get<u64>(list), second = bed.ram.get<u64>(list + 32);
    CHECK(first == LoaderBed::kTop - 2 * kPageBytes);
    CHECK(bed.ram.get<u64>(list + 8) == 6000);
    CHECK(bed.ram.holds(first, bed.initrd));
    CHECK(second == first - kPageBytes);
    CHECK(bed.ram.get<u64>(list + 40) == 100);
    CHECK(bed.ram.holds(second, extra));
}

TEST_CASE("an ELF64 without the note is not supported", "[loaders][pvh]") {
    CHECK(LoaderBed{PvhImage{.with_note = false}.make()}.refused() == LoadError::Unsupported);
}

TEST_CASE("a 32-bit entry lies in RAM below 4 GiB", "[loaders][pvh]") {
    for (u64 const entry : {LoaderBed::kTop, 4 * GiB, ~u64{0}}) { // behind low RAM, in high RAM, nowhere
        CHECK(LoaderBed{PvhImage{.entry = entry, .wide_note = true}.make()}.refused() == LoadError::Damaged);
    }
}

TEST_CASE("segments stay in RAM and off our tables", "[loaders][pvh]") {
    auto const with = [](u64 physical, u64 memory_bytes, usize file_bytes = 16) {
        return LoaderBed{PvhImage{.segments = {{0x10'0000, 0x1000, pattern(0x100, 5)},
                                               {physical, memory_bytes, pattern(file_bytes, 1)}}}
                             .make()};
    };
    CHECK(with(0, 0x1000).refused() == LoadError::DoesNotFit);
    CHECK(with(0x2000, 0x1000).refused() == LoadError::DoesNotFit);
    CHECK(with(0xf'f000, 0x2000).refused() == LoadError::DoesNotFit);
    CHECK(with(LoaderBed::kTop - 0x1000, 0x1001).refused() == LoadError::DoesNotFit);
    CHECK(with(0xffff'ffff'ffff'f000, 0x1000).refused() == LoadError::DoesNotFit);
    CHECK(with(0xffff'ffff'ffff'f000, 0xffff'ffff'ffff'ffff).refused() == LoadError::DoesNotFit);
    CHECK(with(0x30'0000, 8).refused() == LoadError::Damaged); // more in the file than in memory
    CHECK(with(LoaderBed::kTop - 0x1000, 0x1000).load().ok());
    CHECK(with(4 * GiB, 0x1000).load().ok());
}

TEST_CASE("more modules than the list has room for do not fit", "[loaders][pvh]") {
    LoaderBed bed{PvhImage{}.make()};
    Image const small = pattern(1, 1);
    bed.modules.assign(31, {small, "m"});
    CHECK(bed.load().ok());
    bed.modules.assign(32, {small, "m"});
    CHECK(bed.refused() == LoadError::DoesNotFit);
}

TEST_CASE("an entry outside RAM is damage", "[loaders][pvh]") {
    CHECK(LoaderBed{PvhImage{.entry = 0xf000'0000}.make()}.refused() == LoadError::Damaged);
}

TEST_CASE("an ELF64 of another machine is not supported", "[loaders][pvh]") {
    Image image = PvhImage{}.make();
    poke<u16>(image, 18, 183);
    CHECK(LoaderBed{image}.refused() == LoadError::Unsupported);
}

TEST_CASE("a PVH kernel that is also multiboot is loaded all the same", "[loaders][pvh]") {
    // Unikernels carry both: a multiboot header without addresses in an ELF64 means nothing to multiboot 1.
    PvhImage both;
    poke<u32>(both.segments[0].bytes, 0, 0x1bad'b002);
    poke<u32>(both.segments[0].bytes, 4, 0x3);
    poke<u32>(both.segments[0].bytes, 8, 0u - 0x1bad'b002u - 0x3u);
    LoaderBed bed{both.make()};
    REQUIRE(is_multiboot(bed.kernel));
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    CHECK(loaded.value().rip == both.entry);
}
