// SPDX-License-Identifier: Apache-2.0
// What of hv.elf is believed: a good file is laid out exactly, and every kind of damage has its own answer.
#include "boot/efi/elf.hpp"

#include "boot/handoff/boot_info.hpp"
#include "bytes.hpp"
#include <catch2/catch.hpp>

using namespace ballast::loader;
using ballast::handoff::kImageBase;

namespace {
struct Segment {
    std::uint32_t type = 1;
    std::uint32_t flags = 5;
    std::uint64_t offset = 0x1000;
    std::uint64_t address = kImageBase;
    std::uint64_t file_bytes = 0x800;
    std::uint64_t memory_bytes = 0x800;
};

Bytes make_elf(std::vector<Segment> const& segments, std::uint64_t entry = kImageBase) {
    Bytes file;
    file.u8(0x7f).text("ELF").u8(2).u8(1).u8(1).zeros(9);
    file.u16(2).u16(62).u32(1).u64(entry).u64(64).u64(0).u32(0).u16(64).u16(56).u16(segments.size()).zeros(6);
    for (Segment const& s : segments)
        file.u32(s.type)
            .u32(s.flags)
            .u64(s.offset)
            .u64(s.address)
            .u64(s.address)
            .u64(s.file_bytes)
            .u64(s.memory_bytes)
            .u64(4096);
    file.zeros(0x2000 - file.size());
    return file;
}

ElfError parse(Bytes const& file) {
    ElfImage image;
    return parse_elf(file.span(), image);
}
} // namespace

TEST_CASE("a good hypervisor file is laid out as linked", "[boot][elf]") {
    Bytes const file = make_elf({{},
                                 {.flags = 6,
                                  .offset = 0x1800,
                                  .address = kImageBase + 0x3000,
                                  .file_bytes = 4,
                                  .memory_bytes = 0x1801}},
                                kImageBase + 0x7ff);
    ElfImage image;
    REQUIRE(parse_elf(file.span(), image) == ElfError::None);
    CHECK(image.entry == kImageBase + 0x7ff);
    CHECK(image.memory_bytes == 0x5000);
    REQUIRE(image.segment_count == 2);
    CHECK(image.segments[1].offset_bytes == 0x3000);
    CHECK(image.segments[1].memory_bytes == 0x1801);
    CHECK(image.segments[1].file_offset_bytes == 0x1800);
    CHECK(image.segments[1].file_bytes == 4);
}

TEST_CASE("a file cut short at any length is refused", "[boot][elf]") {
    Bytes const file = make_elf({{}});
    for (std::size_t length = 0; length < 0x1800; length++) {
        std::vector<std::byte> const part(file.span().begin(),
                                          file.span().begin() + length); // exact, for ASan
        ElfImage image;
        REQUIRE(parse_elf(part, image) != ElfError::None);
    }
    ElfImage image;
    CHECK(parse_elf(file.span().first(0x1800), image) == ElfError::None);
}

TEST_CASE("each kind of wrong hypervisor file has its own answer", "[boot][elf]") {
    Bytes file = make_elf({{}});
    SECTION("not an ELF file") {
        file.set_u8(1, 'X');
        CHECK(parse(file) == ElfError::NotElf);
    }
    SECTION("32 bit") {
        file.set_u8(4, 1);
        CHECK(parse(file) == ElfError::NotElf64);
    }
    SECTION("another machine") {
        file.set_u8(18, 183);
        CHECK(parse(file) == ElfError::NotX86);
    }
    SECTION("a shared object") {
        file.set_u8(16, 3);
        CHECK(parse(file) == ElfError::NotExecutable);
    }
    SECTION("program headers past the end, also when the offset wraps") {
        file.set_u64(32, ~0ull - 8);
        CHECK(parse(file) == ElfError::BadProgramHeaders);
    }
    SECTION("program headers of another size") {
        file.set_u8(54, 32);
        CHECK(parse(file) == ElfError::BadProgramHeaders);
    }
    SECTION("nothing to load") {
        CHECK(parse(make_elf({{.type = 4}})) == ElfError::NoSegments);
    }
    SECTION("segment past the end of the file") {
        CHECK(parse(make_elf({{.offset = 0x1900}})) == ElfError::SegmentOutsideFile);
        CHECK(parse(make_elf({{.offset = ~0ull - 0x100}})) == ElfError::SegmentOutsideFile);
    }
    SECTION("segment below or above the window") {
        CHECK(parse(make_elf({{.address = kImageBase - 0x1000}})) == ElfError::SegmentOutsideWindow);
        CHECK(parse(make_elf({{.address = kImageBase + ElfImage::kMaxImageBytes}})) ==
              ElfError::SegmentOutsideWindow);
        CHECK(parse(make_elf({{.memory_bytes = ~0ull - 0x100}})) == ElfError::SegmentOutsideWindow);
    }
    SECTION("more in the file than in memory") {
        CHECK(parse(make_elf({{.memory_bytes = 0x7ff}})) == ElfError::SegmentOutsideWindow);
    }
    SECTION("overlapping segments") {
        CHECK(parse(make_elf({{}, {.address = kImageBase + 0x7ff, .file_bytes = 0, .memory_bytes = 8}})) ==
              ElfError::SegmentsOverlap);
    }
    SECTION("entry outside, or in data") {
        CHECK(parse(make_elf({{}}, kImageBase + 0x800)) == ElfError::EntryOutsideSegments);
        CHECK(parse(make_elf({{.flags = 6}})) == ElfError::EntryOutsideSegments);
    }
    SECTION("too many segments") {
        std::vector<Segment> many;
        for (std::uint64_t i = 0; i <= ElfImage::kMaxSegments; i++)
            many.push_back({.address = kImageBase + i * 0x1000});
        CHECK(parse(make_elf(many)) == ElfError::TooManySegments);
        many.pop_back();
        CHECK(parse(make_elf(many)) == ElfError::None);
    }
}

TEST_CASE("no damaged header byte leads outside the file", "[boot][elf]") {
    // ASan is the judge; what still parses must keep its promises.
    Bytes const good = make_elf({{}, {.address = kImageBase + 0x2000, .memory_bytes = 0x900}});
    for (std::size_t at = 0; at < 64 + 2 * 56; at++)
        for (int value = 0; value < 256; value++) {
            Bytes file = good;
            file.set_u8(at, static_cast<std::uint8_t>(value));
            ElfImage image;
            if (parse_elf(file.span(), image) != ElfError::None) continue;
            for (std::size_t i = 0; i < image.segment_count; i++) {
                ElfSegment const& s = image.segments[i];
                REQUIRE(s.file_offset_bytes + s.file_bytes <= file.size());
                REQUIRE(s.file_bytes <= s.memory_bytes);
                REQUIRE(s.offset_bytes + s.memory_bytes <= image.memory_bytes);
            }
            REQUIRE(image.memory_bytes <= ElfImage::kMaxImageBytes);
        }
}
