// SPDX-License-Identifier: Apache-2.0
// hv.elf: checks the file and tells which bytes go where. Nothing is loaded here. Every number of the file is
// checked before it is used; a damaged file gives an error, never a wild access. Pure: host-compiled and
// unit-tested.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
enum class ElfError : std::uint8_t {
    None,
    TooShort,
    NotElf,
    NotElf64,
    NotX86,
    NotExecutable,
    BadProgramHeaders,
    NoSegments,
    TooManySegments,
    SegmentOutsideFile,
    SegmentOutsideWindow,
    SegmentsOverlap,
    EntryOutsideSegments,
};

/// One PT_LOAD segment. `offset_bytes` counts from kImageBase; memory past `file_bytes` is zero.
struct ElfSegment {
    std::uint64_t offset_bytes;
    std::uint64_t memory_bytes;
    std::uint64_t file_offset_bytes;
    std::uint64_t file_bytes;
};

struct ElfImage {
    static constexpr std::size_t kMaxSegments = 16;
    /// The image's window: kImageBase up to here. More is not a hypervisor of ours.
    static constexpr std::uint64_t kMaxImageBytes = 1ull << 30;

    std::uint64_t entry;        ///< virtual address, inside an executable segment
    std::uint64_t memory_bytes; ///< from kImageBase to the end of the last segment, multiple of 4096
    std::size_t segment_count;
    std::array<ElfSegment, kMaxSegments> segments;
};

/// Checks that `file` is a static ELF64 x86-64 program linked at kImageBase and fills `image`.
/// @return ElfError::None, or what is wrong; `image` is then meaningless. Pure.
/// Source: System V ABI, chapter 4 "Object Files" and 5 "Program Loading".
[[nodiscard]] ElfError parse_elf(std::span<std::byte const> file, ElfImage& image);

/// What a person is told about `error`.
std::string_view describe(ElfError error);
} // namespace ballast::loader
