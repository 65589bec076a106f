// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/loaders/loader_bed.hpp"

using namespace hv;
using namespace hv::partition;
using namespace hv::test;

namespace {
/// Fields of the multiboot information structure.
struct Info {
    LoaderBed const& bed;
    u64 at;
    u32 word(u32 offset) const { return bed.ram.get<u32>(at + offset); }
};
} // namespace

TEST_CASE("a multiboot kernel with addresses is loaded where its header says", "[loaders][multiboot]") {
    MultibootImage const image{.addresses = true, .bss_end = 0x10'4000};
    LoaderBed bed{image.make()};
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    EntryState const& entry = loaded.value();
    CHECK(entry.mode == EntryState::Mode::Protected32);
    CHECK(entry.rip == 0x10'0100);
    CHECK(entry.rax == 0x2bad'b002);
    check_gdt(bed, entry, false);
    CHECK(bed.ram.holds(0x10'0000, bed.kernel)); // from the file's start: the header is 64 bytes in
    CHECK(bed.ram.zero(0x10'2000, 0x2000));      // bss
}

TEST_CASE("a multiboot ELF is loaded by its program headers", "[loaders][multiboot]") {
    MultibootImage const image{};
    LoaderBed bed{image.make()};
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    CHECK(loaded.value().rip == image.entry);
    auto const body = std::span{bed.kernel}.subspan(MultibootImage::kElfHeaders);
    CHECK(bed.ram.holds(image.load, body));
    CHECK(bed.ram.zero(image.load + body.size(), 0x3000));
    CHECK(bed.ram.holds(image.load + 0x10'0000, body.first(0x100)));
}

TEST_CASE("the entry of a kernel that is linked high is its physical address", "[loaders][multiboot]") {
    LoaderBed bed{MultibootImage{.virtual_offset = 0xc000'0000}.make()};
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    CHECK(loaded.value().rip == 0x10'0100);
}

TEST_CASE("multiboot information tells memory, command line, modules and name", "[loaders][multiboot]") {
    LoaderBed bed{MultibootImage{.addresses = true}.make()};
    Image const one = pattern(5000, 1), two = pattern(1, 2);
    bed.modules = {{one, "one arg"}, {two, "two"}};
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    Info const info{bed, loaded.value().rbx};
    CHECK(info.word(0) == (1u | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9));
    CHECK(info.word(4) == 640);
    CHECK(info.word(8) == 63 * 1024);
    CHECK(bed.ram.text(info.word(16)) == bed.command_line);
    CHECK(bed.ram.text(info.word(64)) == "Ballast");

    REQUIRE(info.word(20) == 2);
    Info const first{bed, info.word(24)}, second{bed, info.word(24) + 16u};
    CHECK(first.word(0) == 0x10'2000); // the page after the kernel
    CHECK(first.word(4) == 0x10'2000 + 5000);
    CHECK(bed.ram.holds(first.word(0), one));
    CHECK(bed.ram.text(first.word(8)) == "one arg");
    CHECK(first.word(12) == 0);
    CHECK(second.word(0) == 0x10'4000);
    CHECK(bed.ram.holds(second.word(0), two));
    CHECK(bed.ram.text(second.word(8)) == "two");

    REQUIRE(info.word(44) == 24 * bed.map.size());
    for (usize i = 0; i < bed.map.size(); ++i) {
        u64 const at = info.word(48) + 24 * i;
        CHECK(bed.ram.get<u32>(at) == 20);
        CHECK(bed.ram.get<u64>(at + 4) == bed.map[i].base.raw);
        CHECK(bed.ram.get<u64>(at + 12) == bed.map[i].bytes);
        CHECK(bed.ram.get<u32>(at + 20) == bed.map[i].type);
    }
}

TEST_CASE("required features that are unknown are refused, optional ones are not", "[loaders][multiboot]") {
    CHECK(LoaderBed{MultibootImage{.flags = 0x4}.make()}.refused() == LoadError::Unsupported); // video
    CHECK(LoaderBed{MultibootImage{.flags = 0x8000}.make()}.refused() == LoadError::Unsupported);
    CHECK(LoaderBed{MultibootImage{.flags = 1u << 17}.make()}.load().ok());
}

TEST_CASE("the header must be in the first 8 KiB, aligned and summed up", "[loaders][multiboot]") {
    auto const at = [](u32 offset, usize length = 0x4000) {
        MultibootImage image{.addresses = true, .header_at = offset};
        image.body = pattern(length, 1);
        return image.make();
    };
    CHECK(is_multiboot(at(8192 - 12 - 20 - 4)));
    CHECK(is_multiboot(at(8192 - 12)));
    CHECK_FALSE(is_multiboot(at(8192 - 8)));
    CHECK_FALSE(is_multiboot(at(66)));
    Image sum = at(64);
    sum[64 + 8] ^= 1;
    CHECK_FALSE(is_multiboot(sum));
}

TEST_CASE("addresses that contradict the file or the RAM are refused", "[loaders][multiboot]") {
    auto const with = [](auto change) {
        MultibootImage image{.addresses = true};
        change(image);
        return LoaderBed{image.make()};
    };
    CHECK(with([](auto& m) { m.load = 0x9'0000; }).refused() == LoadError::DoesNotFit); // our tables' place
    CHECK(with([](auto& m) { m.load = 0xf000'0000; }).refused() == LoadError::DoesNotFit);
    CHECK(with([](auto& m) { m.load_end = 0x10'2001; }).refused() == LoadError::Damaged); // past the file
    CHECK(with([](auto& m) { m.load_end = 0xf'ffff; }).refused() == LoadError::Damaged);
    CHECK(with([](auto& m) { m.bss_end = 0xf'ffff; }).refused() == LoadError::Damaged);
    CHECK(with([](auto& m) { m.bss_end = 0xffff'f000; }).refused() == LoadError::DoesNotFit);
    CHECK(with([](auto& m) { m.entry = 0xf000'0000; }).refused() == LoadError::Damaged);
    // The header says that the file's start would lie before the file.
    Image image = MultibootImage{.addresses = true}.make();
    poke<u32>(image, 64 + 12, 0x10'0000 + 65);
    CHECK(LoaderBed{image}.refused() == LoadError::Damaged);
}

TEST_CASE("an ELF with program headers beyond reason is not supported", "[loaders][multiboot]") {
    Image image = MultibootImage{}.make();
    poke<u16>(image, 44, 65);
    CHECK(LoaderBed{image}.refused() == LoadError::Unsupported);
}

TEST_CASE("modules that do not fit are refused", "[loaders][multiboot]") {
    LoaderBed bed{MultibootImage{.addresses = true}.make()};
    Image const large = pattern(63 * MiB, 1);
    bed.modules = {{large, "large"}};
    CHECK(bed.refused() == LoadError::DoesNotFit);
    Image const small = pattern(1, 1);
    bed.modules.assign(65, {small, "m"});
    CHECK(bed.refused() == LoadError::DoesNotFit);
    std::string const name(1000, 'n');
    bed.modules.assign(2, {small, name}); // their texts have a page between them
    CHECK(bed.refused() == LoadError::DoesNotFit);
    bed.modules.assign(1, {small, name});
    CHECK(bed.load().ok());
}
