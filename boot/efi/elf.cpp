// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/elf.hpp"

#include "boot/handoff/boot_info.hpp"
#include <algorithm>
#include <cstring>

namespace ballast::loader {
namespace {
struct FileHeader {
    std::uint8_t ident[16];
    std::uint16_t type;
    std::uint16_t machine;
    std::uint32_t version;
    std::uint64_t entry;
    std::uint64_t program_header_offset;
    std::uint64_t section_header_offset;
    std::uint32_t flags;
    std::uint16_t header_bytes;
    std::uint16_t program_header_bytes;
    std::uint16_t program_header_count;
    std::uint16_t section_header_bytes;
    std::uint16_t section_header_count;
    std::uint16_t section_name_index;
};
static_assert(sizeof(FileHeader) == 64);

struct ProgramHeader {
    std::uint32_t type;
    std::uint32_t flags;
    std::uint64_t offset;
    std::uint64_t virtual_address;
    std::uint64_t physical_address;
    std::uint64_t file_bytes;
    std::uint64_t memory_bytes;
    std::uint64_t align;
};
static_assert(sizeof(ProgramHeader) == 56);

constexpr std::uint8_t kClass64 = 2;
constexpr std::uint8_t kLittleEndian = 1;
constexpr std::uint16_t kTypeExecutable = 2;
constexpr std::uint16_t kMachineX86_64 = 62;
constexpr std::uint32_t kLoad = 1;
constexpr std::uint32_t kExecutable = 1;
constexpr std::uint64_t kPageBytes = 4096;

template <class T>
T read_at(std::span<std::byte const> file, std::size_t offset) {
    T value;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
}

ElfError check_header(FileHeader const& header) {
    if (header.ident[0] != 0x7f || header.ident[1] != 'E' || header.ident[2] != 'L' || header.ident[3] != 'F')
        return ElfError::NotElf;
    if (header.ident[4] != kClass64 || header.ident[5] != kLittleEndian) return ElfError::NotElf64;
    if (header.machine != kMachineX86_64) return ElfError::NotX86;
    if (header.type != kTypeExecutable) return ElfError::NotExecutable;
    return ElfError::None;
}

ElfError check_segment(ProgramHeader const& header, std::uint64_t file_bytes) {
    if (header.offset > file_bytes || header.file_bytes > file_bytes - header.offset)
        return ElfError::SegmentOutsideFile;
    if (header.file_bytes > header.memory_bytes || header.virtual_address < handoff::kImageBase)
        return ElfError::SegmentOutsideWindow;
    std::uint64_t const offset = header.virtual_address - handoff::kImageBase;
    if (offset >= ElfImage::kMaxImageBytes || header.memory_bytes > ElfImage::kMaxImageBytes - offset)
        return ElfError::SegmentOutsideWindow;
    return ElfError::None;
}

bool overlap(ElfSegment const& a, ElfSegment const& b) {
    return a.offset_bytes < b.offset_bytes + b.memory_bytes &&
           b.offset_bytes < a.offset_bytes + a.memory_bytes;
}
} // namespace

ElfError parse_elf(std::span<std::byte const> file, ElfImage& image) {
    image = {};
    if (file.size() < sizeof(FileHeader)) return ElfError::TooShort;
    auto const header = read_at<FileHeader>(file, 0);
    if (ElfError const error = check_header(header); error != ElfError::None) return error;
    std::uint64_t const table_bytes = std::uint64_t{header.program_header_count} * sizeof(ProgramHeader);
    if (header.program_header_bytes != sizeof(ProgramHeader) || header.program_header_offset > file.size() ||
        table_bytes > file.size() - header.program_header_offset)
        return ElfError::BadProgramHeaders;

    image.entry = header.entry;
    std::uint64_t end = 0;
    bool entry_found = false;
    for (std::size_t i = 0; i < header.program_header_count; i++) {
        auto const program =
            read_at<ProgramHeader>(file, header.program_header_offset + i * sizeof(ProgramHeader));
        if (program.type != kLoad || program.memory_bytes == 0) continue;
        if (ElfError const error = check_segment(program, file.size()); error != ElfError::None) return error;
        if (image.segment_count == ElfImage::kMaxSegments) return ElfError::TooManySegments;
        ElfSegment const segment{program.virtual_address - handoff::kImageBase, program.memory_bytes,
                                 program.offset, program.file_bytes};
        for (std::size_t j = 0; j < image.segment_count; j++)
            if (overlap(image.segments[j], segment)) return ElfError::SegmentsOverlap;
        image.segments[image.segment_count++] = segment;
        end = std::max(end, segment.offset_bytes + segment.memory_bytes);
        if ((program.flags & kExecutable) != 0 && header.entry >= program.virtual_address &&
            header.entry - program.virtual_address < program.file_bytes)
            entry_found = true;
    }
    if (image.segment_count == 0) return ElfError::NoSegments;
    if (!entry_found) return ElfError::EntryOutsideSegments;
    image.memory_bytes = (end + kPageBytes - 1) & ~(kPageBytes - 1);
    return ElfError::None;
}

std::string_view describe(ElfError error) {
    switch (error) {
    case ElfError::None: return "valid";
    case ElfError::TooShort: return "shorter than an ELF header";
    case ElfError::NotElf: return "not an ELF file";
    case ElfError::NotElf64: return "not a 64-bit little-endian ELF file";
    case ElfError::NotX86: return "not built for x86-64";
    case ElfError::NotExecutable: return "not a statically linked executable";
    case ElfError::BadProgramHeaders: return "its program header table lies outside the file";
    case ElfError::NoSegments: return "it has no segments to load";
    case ElfError::TooManySegments: return "it has too many segments";
    case ElfError::SegmentOutsideFile:
        return "a segment reaches past the end of the file (the file was cut short)";
    case ElfError::SegmentOutsideWindow: return "a segment is not linked at the hypervisor's address";
    case ElfError::SegmentsOverlap: return "two of its segments overlap";
    case ElfError::EntryOutsideSegments: return "its entry point is not in executable code";
    }
    return "damaged";
}
} // namespace ballast::loader
