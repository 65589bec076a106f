// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/loaders/loader_bed.hpp"
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace hv;
using namespace hv::partition;
using namespace hv::test;

namespace {
constexpr u64 kZeroPage = 0x2000;
}

TEST_CASE("a bzImage is loaded by the 64-bit boot protocol", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{}.make()};
    bed.initrd = pattern(5000, 1);
    auto const loaded = bed.load();
    REQUIRE(loaded.ok());
    EntryState const& entry = loaded.value();
    CHECK(entry.mode == EntryState::Mode::Long64);
    CHECK(entry.rip == 1 * MiB + 0x200);
    CHECK(entry.rsi == kZeroPage);
    check_gdt(bed, entry, true);
    CHECK(bed.ram.holds(1 * MiB, std::span{bed.kernel}.subspan(BzImage::kSetupBytes)));

    SECTION("the zero page: header as in the file, our fields, nothing else") {
        CHECK(bed.ram.holds(kZeroPage + 0x202, std::span{bed.kernel}.subspan(0x202, 0xe)));
        CHECK(bed.ram.get<u32>(kZeroPage + 0x260) == 8 << 20);
        CHECK(bed.ram.byte(kZeroPage + 0x210) == 0xff);
        CHECK(bed.ram.text(bed.ram.get<u32>(kZeroPage + 0x228)) == bed.command_line);
        CHECK(bed.ram.get<u64>(kZeroPage + 0x70) == 0xe'0000);
        CHECK(bed.ram.zero(kZeroPage, 0x70));
        CHECK(bed.ram.zero(kZeroPage + 0x26c, 0x2d0 - 0x26c)); // past the header
        CHECK(bed.ram.byte(kZeroPage + 0x1e8) == bed.map.size());
        for (usize i = 0; i < bed.map.size(); ++i) {
            u64 const at = kZeroPage + 0x2d0 + 20 * i;
            CHECK(bed.ram.get<u64>(at) == bed.map[i].base.raw);
            CHECK(bed.ram.get<u64>(at + 8) == bed.map[i].bytes);
            CHECK(bed.ram.get<u32>(at + 16) == bed.map[i].type);
        }
    }
    SECTION("the initrd lies as high as the low RAM allows, page aligned") {
        u32 const at = bed.ram.get<u32>(kZeroPage + 0x218);
        CHECK(at == LoaderBed::kTop - 2 * kPageBytes);
        CHECK(bed.ram.get<u32>(kZeroPage + 0x21c) == 5000);
        CHECK(bed.ram.holds(at, bed.initrd));
    }
    SECTION("the page tables map the first 4 GiB to themselves") {
        u64 const pml4 = bed.ram.get<u64>(entry.cr3);
        CHECK((pml4 & 3) == 3);
        CHECK(bed.ram.zero(entry.cr3 + 8, kPageBytes - 8));
        for (u64 gib = 0; gib < 4; ++gib) {
            u64 const pdpte = bed.ram.get<u64>((pml4 & ~0xfffull) + 8 * gib);
            CHECK((pdpte & 0x83) == 3);
            for (u64 i : {0, 1, 511}) {
                CHECK(bed.ram.get<u64>((pdpte & ~0xfffull) + 8 * i) ==
                      (gib * GiB + i * kLargePageBytes | 0x83));
            }
        }
        CHECK(bed.ram.zero((pml4 & ~0xfffull) + 32, kPageBytes - 32));
    }
}

TEST_CASE("a bzImage without an initrd says so", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{}.make()};
    REQUIRE(bed.load().ok());
    CHECK(bed.ram.get<u64>(kZeroPage + 0x218) == 0);
}

TEST_CASE("the initrd stays below what the kernel can reach", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{.initrd_max = 40 * MiB - 1}.make()};
    bed.initrd = pattern(kPageBytes, 1);
    REQUIRE(bed.load().ok());
    CHECK(bed.ram.get<u32>(kZeroPage + 0x218) == 40 * MiB - kPageBytes);
}

TEST_CASE("the initrd never overlaps the room in which the kernel unpacks itself", "[loaders][bzimage]") {
    // The kernel unpacks at 16 MiB and may use 40 MiB there: 8 MiB are left above it.
    LoaderBed bed{BzImage{.init_bytes = 40 * MiB}.make()};
    bed.initrd = pattern(8 * MiB, 1);
    REQUIRE(bed.load().ok());
    CHECK(bed.ram.get<u32>(kZeroPage + 0x218) == 56 * MiB);
    LoaderBed larger{BzImage{.init_bytes = 40 * MiB}.make()};
    larger.initrd = pattern(8 * MiB + 1, 1);
    CHECK(larger.refused() == LoadError::DoesNotFit);
}

TEST_CASE("a kernel unpacks itself where it was built to run", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{.init_bytes = 24 * MiB, .preferred = 32 * MiB}.make()};
    bed.initrd = pattern(8 * MiB, 1);
    REQUIRE(bed.load().ok());
    CHECK(bed.ram.get<u32>(kZeroPage + 0x218) == 56 * MiB);
    bed.initrd.push_back(1);
    CHECK(bed.refused() == LoadError::DoesNotFit);
    // Where that is below the load address, the alignment decides.
    CHECK(LoaderBed{BzImage{.init_bytes = 62 * MiB, .preferred = 0}.make()}.load().ok());
    CHECK(LoaderBed{BzImage{.init_bytes = 62 * MiB + 1, .preferred = 0}.make()}.refused() ==
          LoadError::DoesNotFit);
    for (u64 const preferred : {4 * GiB, ~u64{0}}) { // the identity map ends there, and the sum must not wrap
        CHECK(LoaderBed{BzImage{.preferred = preferred}.make()}.refused() == LoadError::DoesNotFit);
    }
}

TEST_CASE("a kernel that needs more memory than there is does not fit", "[loaders][bzimage]") {
    CHECK(LoaderBed{BzImage{.init_bytes = 48 * MiB + 1}.make()}.refused() == LoadError::DoesNotFit);
    CHECK(LoaderBed{BzImage{.init_bytes = 48 * MiB}.make()}.load().ok());
    CHECK(LoaderBed{BzImage{.alignment = 128 * MiB}.make()}.refused() == LoadError::DoesNotFit);
    CHECK(LoaderBed{BzImage{.init_bytes = 0xffff'ffff}.make()}.refused() == LoadError::DoesNotFit);
    CHECK(LoaderBed{BzImage{.init_bytes = 1 * MiB, .payload_bytes = 63 * MiB + 1}.make()}.refused() ==
          LoadError::DoesNotFit);
}

TEST_CASE("kernels without the 64-bit entry are not supported", "[loaders][bzimage]") {
    CHECK(LoaderBed{BzImage{.version = 0x020b}.make()}.refused() == LoadError::Unsupported);
    CHECK(LoaderBed{BzImage{.xloadflags = 0}.make()}.refused() == LoadError::Unsupported);
}

TEST_CASE("headers that contradict the file are damaged", "[loaders][bzimage]") {
    CHECK(LoaderBed{BzImage{.setup_sectors = 64}.make()}.refused() == LoadError::Damaged);
    CHECK(LoaderBed{BzImage{.header_length = 0xff}.make()}.refused() == LoadError::Damaged);
    CHECK(LoaderBed{BzImage{.alignment = 0}.make()}.refused() == LoadError::Damaged);
    CHECK(LoaderBed{BzImage{.alignment = 3}.make()}.refused() == LoadError::Damaged);
}

TEST_CASE("zero setup sectors mean four", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{.setup_sectors = 0}.make()};
    REQUIRE(bed.load().ok());
    CHECK(bed.ram.holds(1 * MiB, std::span{bed.kernel}.subspan(BzImage::kSetupBytes)));
}

TEST_CASE("a command line longer than the kernel takes is refused", "[loaders][bzimage]") {
    LoaderBed bed{BzImage{.command_line_max = 30}.make()};
    bed.command_line = std::string(30, 'x');
    CHECK(bed.load().ok());
    CHECK(bed.ram.text(bed.ram.get<u32>(kZeroPage + 0x228)) == bed.command_line);
    bed.command_line += 'x';
    CHECK(bed.refused() == LoadError::CommandLineTooLong);
    LoaderBed page{BzImage{.command_line_max = 0xffff'ffff}.make()};
    page.command_line = std::string(kPageBytes, 'x');
    CHECK(page.refused() == LoadError::CommandLineTooLong);
}

TEST_CASE("Debian's kernel loads, where it has been fetched", "[loaders][bzimage]") {
    namespace fs = std::filesystem;
    std::error_code none;
    u32 found = 0;
    for (auto const& file : fs::directory_iterator{BALLAST_GUEST_KERNEL_DIR, none}) {
        if (file.path().filename().string().starts_with("vmlinuz")) {
            std::ifstream in{file.path(), std::ios::binary};
            LoaderBed bed{Image{std::istreambuf_iterator<char>{in}, {}}};
            bed.initrd = pattern(1 * MiB, 1);
            // As much as design's smallest Debian guest.
            bed.map[2].bytes = 255 * MiB;
            bed.ram = SparseRam{bed.map};
            auto const loaded = bed.load();
            REQUIRE(loaded.ok());
            CHECK(loaded.value().mode == EntryState::Mode::Long64);
            u64 const setup = (bed.kernel[0x1f1] + 1u) * 512;
            CHECK(bed.ram.holds(1 * MiB, std::span{bed.kernel}.subspan(setup)));
            CHECK(bed.ram.get<u32>(kZeroPage + 0x202) == 0x53726448);
            // 64-bit entry: the instruction there is not empty.
            CHECK_FALSE(bed.ram.zero(loaded.value().rip, 16));
            ++found;
        }
    }
    if (found == 0) {
        WARN("no guest kernel in " BALLAST_GUEST_KERNEL_DIR ": scripts/setup fetches one");
    }
}
