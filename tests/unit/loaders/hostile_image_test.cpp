// SPDX-License-Identifier: Apache-2.0
// Damaged images of every kind: refused or loaded, never a crash, never a write outside RAM.
#include "tests/unit/loaders/loader_bed.hpp"
#include <random>

using namespace hv;
using namespace hv::partition;
using namespace hv::test;

namespace {
std::vector<Image> images() {
    PvhImage pvh;
    pvh.segments[0].bytes.resize(600);
    pvh.segments[1].bytes.resize(100);
    Image const body = pattern(600, 1);
    return {BzImage{.payload_bytes = 500}.make(), pvh.make(), MultibootImage{.body = body}.make(),
            MultibootImage{.addresses = true, .body = body}.make()};
}
/// Loads without keeping what is written. @return whether it was accepted
bool survives(Image const& kernel) {
    LoaderBed bed{kernel};
    SparseRam judge{bed.map, false};
    auto const entry = load_kernel(bed.request(), judge);
    REQUIRE(judge.writes_outside == 0);
    if (!entry.ok()) {
        REQUIRE(text(entry.error()) != "?");
    }
    return entry.ok();
}
} // namespace

TEST_CASE("what is no kernel is not taken for one", "[loaders][hostile]") {
    CHECK(LoaderBed{Image{}}.refused() == LoadError::NotAKernel);
    CHECK(LoaderBed{Image(100'000)}.refused() == LoadError::NotAKernel);
    CHECK(LoaderBed{pattern(100'000, 7)}.refused() == LoadError::NotAKernel);
    Image elf32 = MultibootImage{}.make();
    std::fill(elf32.begin() + MultibootImage::kElfHeaders, elf32.end(), u8{0});
    CHECK(LoaderBed{elf32}.refused() == LoadError::NotAKernel);
}

TEST_CASE("an image cut off anywhere is no accident", "[loaders][hostile]") {
    for (Image const& whole : images()) {
        REQUIRE(survives(whole));
        for (usize length = 0; length < whole.size(); ++length) {
            survives(Image{whole.begin(), whole.begin() + static_cast<long>(length)});
        }
    }
}

TEST_CASE("cutting a segment off is noticed", "[loaders][hostile]") {
    Image pvh = PvhImage{}.make();
    pvh.resize(64 + 3 * 56 + 0x1000); // in the middle of the first segment; the notes are gone too
    CHECK(LoaderBed{pvh}.refused() == LoadError::Damaged);
    Image elf = MultibootImage{}.make();
    elf.resize(elf.size() - 1);
    CHECK(LoaderBed{elf}.refused() == LoadError::Damaged);
}

TEST_CASE("each single byte may have any of a few bad values", "[loaders][hostile]") {
    for (Image const& good : images()) {
        usize const headers = std::min<usize>(good.size(), 0x300);
        for (usize at = 0; at < headers; ++at) {
            for (u8 const value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
                Image bad = good;
                bad[at] = value;
                survives(bad);
            }
        }
    }
}

TEST_CASE("each word of the headers may have extreme values", "[loaders][hostile]") {
    for (Image const& good : images()) {
        usize const headers = std::min<usize>(good.size() - 8, 0x300);
        for (usize at = 0; at < headers; at += 2) {
            for (u64 const value : {0ull, ~0ull, 0x7fff'ffff'ffff'ffffull, 0xffff'ffff'ffff'f000ull,
                                    0xffff'ffffull, 0x0010'0000ull, 0x03ff'ffffull}) {
                Image bad = good;
                poke(bad, at, value);
                survives(bad);
                poke(bad = good, at, static_cast<u32>(value));
                survives(bad);
            }
        }
    }
}

TEST_CASE("random damage is survived", "[loaders][hostile][random]") {
    std::mt19937_64 random{7};
    std::vector<Image> const all = images();
    u32 accepted = 0;
    for (u32 i = 0; i < 10'000; ++i) {
        Image bad = all[random() % all.size()];
        for (u64 n = 1 + random() % 6; n-- > 0;) {
            bad[random() % std::min<usize>(bad.size(), 0x300)] = static_cast<u8>(random());
        }
        accepted += survives(bad) ? 1 : 0;
    }
    CHECK(accepted > 100); // some damage does not matter: then all of the loading is exercised
}

TEST_CASE("memory that refuses a write ends the loading, whichever write it is", "[loaders][hostile]") {
    for (Image const& kernel : images()) {
        u32 failures = 0;
        for (u64 writes = 0;; ++writes) {
            LoaderBed bed{kernel};
            SparseRam judge{bed.map, false};
            judge.fail_after = writes;
            auto const entry = load_kernel(bed.request(), judge);
            if (entry.ok()) {
                break;
            }
            REQUIRE(entry.error() == LoadError::GuestMemory);
            ++failures;
        }
        CHECK(failures > 5);
    }
}

TEST_CASE("a memory map longer than the tables have room for does not fit", "[loaders][hostile]") {
    for (Image const& kernel : images()) {
        LoaderBed bed{kernel};
        bed.map.resize(129, {Gpa{5 * GiB}, 0x1000, 2});
        CHECK(bed.refused() == LoadError::DoesNotFit);
        bed.map.resize(64);
        CHECK(bed.load().ok());
    }
}

TEST_CASE("a guest too small for anything is told so", "[loaders][hostile]") {
    for (Image const& kernel : {BzImage{}.make(), PvhImage{}.make(), MultibootImage{}.make(),
                                MultibootImage{.addresses = true}.make()}) {
        LoaderBed bed{kernel};
        bed.map = {{Gpa{0}, 0xa'0000, 1}, {Gpa{0x10'0000}, 0x1000, 1}};
        bed.ram = SparseRam{bed.map};
        CHECK(bed.refused() == LoadError::DoesNotFit);
    }
}
