// SPDX-License-Identifier: Apache-2.0
// 32-bit multiboot 1 kernels with modules. Source: Multiboot Specification 0.6.96, "OS image format",
// "Machine state", "Boot information format".
#include "hv/partition/loaders/image_reader.hpp"

namespace hv::partition {
namespace {
constexpr u32 kHeaderMagic = 0x1bad'b002, kLoaderMagic = 0x2bad'b002;
constexpr u64 kSearchBytes = 8192;
constexpr u32 kAlignModules = 1u << 0, kWantsMemory = 1u << 1, kAddressFields = 1u << 16;
constexpr u32 kRequiredMask = 0xffff; // an unknown bit among these must be refused

struct Header {
    u32 magic, flags, checksum;
    u32 header_address, load_address, load_end, bss_end, entry; ///< valid with kAddressFields
};
struct Elf32Header {
    u8 ident[16];
    u16 type, machine;
    u32 version, entry, program_offset, section_offset, flags;
    u16 header_bytes, program_entry_bytes, program_count, section_entry_bytes, section_count, section_names;
};
struct Elf32Program {
    u32 type, offset, virtual_address, physical_address, file_bytes, memory_bytes, flags, alignment;
};
static_assert(sizeof(Elf32Header) == 52 && sizeof(Elf32Program) == 32);

struct Information {
    u32 flags, lower_kib, upper_kib, boot_device, command_line, module_count, modules;
    u32 symbols[4];
    u32 map_bytes, map, drive_bytes, drives, config_table, loader_name, apm_table;
    u32 video[5];
};
constexpr u32 kHasMemory = 1u << 0, kHasCommandLine = 1u << 2, kHasModules = 1u << 3, kHasMap = 1u << 6,
              kHasLoaderName = 1u << 9;
struct ModuleEntry {
    u32 start, end, text, reserved;
};
struct [[gnu::packed]] MapEntry {
    u32 bytes_after_this;
    u64 base, bytes;
    u32 type;
};
static_assert(sizeof(MapEntry) == 24);
constexpr u64 kMapOffset = 1024,
              kTextOffset = 2560; // in the kTables page: modules, map, module texts and the loader's name
constexpr u64 kMaxEntries = (kTextOffset - kMapOffset) / sizeof(MapEntry);
constexpr char kLoaderName[] = "Ballast";

struct Found {
    Header header;
    u64 offset;
};

Result<Found, LoadError> find_header(std::span<u8 const> kernel) {
    u64 const limit = kernel.size() < kSearchBytes ? kernel.size() : kSearchBytes;
    for (u64 at = 0; at + 12 <= limit; at += 4) {
        u32 words[3];
        std::memcpy(words, kernel.data() + at, sizeof words);
        if (words[0] != kHeaderMagic || words[0] + words[1] + words[2] != 0) {
            continue;
        }
        Header header{words[0], words[1], words[2], 0, 0, 0, 0, 0};
        if ((words[1] & kAddressFields) != 0) {
            header = HV_TRY(read_image<Header>(kernel, at));
        }
        return Found{header, at};
    }
    return Err{LoadError::NotAKernel};
}

Result<u64, LoadError> put_segment(LoadRequest const& request, u64 to, std::span<u8 const> bytes,
                                   u64 memory_bytes, GuestAccess& memory) {
    if (to < kFirstMib.raw || bytes.size() > memory_bytes || !in_ram(request.map, to, memory_bytes)) {
        return Err{LoadError::DoesNotFit};
    }
    HV_TRY(put_bytes(memory, Gpa{to}, bytes));
    HV_TRY(put_zeros(memory, Gpa{to + bytes.size()}, memory_bytes - bytes.size()));
    return to + memory_bytes;
}

struct Placed {
    u64 entry, end;
};

Result<Placed, LoadError> load_by_addresses(LoadRequest const& request, Found const& found,
                                            GuestAccess& memory) {
    Header const& h = found.header;
    if (h.header_address < h.load_address || found.offset < h.header_address - h.load_address) {
        return Err{LoadError::Damaged};
    }
    u64 const file_start = found.offset - (h.header_address - h.load_address);
    u64 const file_bytes =
        h.load_end == 0 ? request.kernel.size() - file_start : static_cast<u64>(h.load_end) - h.load_address;
    if (h.load_end != 0 && h.load_end < h.load_address) {
        return Err{LoadError::Damaged};
    }
    u64 const memory_bytes = h.bss_end == 0 ? file_bytes : static_cast<u64>(h.bss_end) - h.load_address;
    if (h.bss_end != 0 && h.bss_end < h.load_address) {
        return Err{LoadError::Damaged};
    }
    auto const bytes = HV_TRY(part(request.kernel, file_start, file_bytes));
    return Placed{h.entry, HV_TRY(put_segment(request, h.load_address, bytes, memory_bytes, memory))};
}

Result<Placed, LoadError> load_elf32(LoadRequest const& request, GuestAccess& memory) {
    Elf32Header const h = HV_TRY(read_image<Elf32Header>(request.kernel, 0));
    static constexpr u8 kIdent[5] = {0x7f, 'E', 'L', 'F', 1};
    if (std::memcmp(h.ident, kIdent, sizeof kIdent) != 0 || h.program_entry_bytes != sizeof(Elf32Program) ||
        h.program_count > 64) {
        return Err{LoadError::Unsupported};
    }
    Placed placed{h.entry, kFirstMib.raw};
    for (u16 i = 0; i < h.program_count; ++i) {
        auto const p = HV_TRY(read_image<Elf32Program>(request.kernel, static_cast<u64>(h.program_offset) +
                                                                           i * sizeof(Elf32Program)));
        if (p.type != 1 || p.memory_bytes == 0) {
            continue;
        }
        auto const bytes = HV_TRY(part(request.kernel, p.offset, p.file_bytes));
        u64 const end = HV_TRY(put_segment(request, p.physical_address, bytes, p.memory_bytes, memory));
        if (end > placed.end) {
            placed.end = end;
        }
        // The entry is a virtual address; kernels linked high give it in the segment that holds it.
        if (h.entry >= p.virtual_address && h.entry - p.virtual_address < p.memory_bytes) {
            placed.entry = h.entry - p.virtual_address + p.physical_address;
        }
    }
    return placed;
}

Result<void, LoadError> put_modules(LoadRequest const& request, u64 floor, Information& info,
                                    GuestAccess& memory) {
    u64 at = align_up(floor, kPageBytes);
    u64 text_at = kTables.raw + kTextOffset + sizeof kLoaderName;
    if (request.modules.size() > kMapOffset / sizeof(ModuleEntry)) {
        return Err{LoadError::DoesNotFit};
    }
    for (ModuleImage const& module : request.modules) {
        if (!in_ram(request.map, at, module.bytes.size())) {
            return Err{LoadError::DoesNotFit};
        }
        if (text_at + module.name.size() + 1 > kTables.raw + kPageBytes) {
            return Err{LoadError::DoesNotFit};
        }
        HV_TRY(put_bytes(memory, Gpa{at}, module.bytes));
        HV_TRY(put_bytes(memory, Gpa{text_at},
                         {reinterpret_cast<u8 const*>(module.name.data()), module.name.size()}));
        ModuleEntry const entry{static_cast<u32>(at), static_cast<u32>(at + module.bytes.size()),
                                static_cast<u32>(text_at), 0};
        HV_TRY(put(memory, kTables + info.module_count++ * sizeof(ModuleEntry), entry));
        text_at += module.name.size() + 1;
        at = align_up(at + module.bytes.size(), kPageBytes);
    }
    return {};
}

Result<void, LoadError> put_map(LoadRequest const& request, Information& info, GuestAccess& memory) {
    if (request.map.size() > kMaxEntries) {
        return Err{LoadError::DoesNotFit};
    }
    info.map = static_cast<u32>(kTables.raw + kMapOffset);
    for (MemoryMapEntry const& e : request.map) {
        HV_TRY(put(memory, Gpa{info.map + info.map_bytes}, MapEntry{20, e.base.raw, e.bytes, e.type}));
        info.map_bytes += sizeof(MapEntry);
        if (e.type == 1 && e.base.raw == 0) {
            info.lower_kib = static_cast<u32>((e.bytes < 640 * KiB ? e.bytes : 640 * KiB) / KiB);
        }
        if (e.type == 1 && e.base == kFirstMib) {
            info.upper_kib = static_cast<u32>(e.bytes / KiB);
        }
    }
    return {};
}
} // namespace

bool is_multiboot(std::span<u8 const> kernel) {
    return find_header(kernel).ok();
}

Result<EntryState, LoadError> load_multiboot(LoadRequest const& request, GuestAccess& memory) {
    Found const found = HV_TRY(find_header(request.kernel));
    if ((found.header.flags & kRequiredMask & ~(kAlignModules | kWantsMemory)) != 0) {
        return Err{LoadError::Unsupported};
    }
    Placed const placed = (found.header.flags & kAddressFields) != 0
                              ? HV_TRY(load_by_addresses(request, found, memory))
                              : HV_TRY(load_elf32(request, memory));
    if (!in_ram(request.map, placed.entry, 1)) {
        return Err{LoadError::Damaged};
    }
    Information info{};
    HV_TRY(put_zeros(memory, kTables, kPageBytes));
    HV_TRY(put_modules(request, placed.end, info, memory));
    HV_TRY(put_map(request, info, memory));
    HV_TRY(put(memory, kTables + kTextOffset, kLoaderName));
    HV_TRY(put_command_line(memory, request.command_line, kPageBytes - 1));
    info.flags = kHasMemory | kHasCommandLine | kHasModules | kHasMap | kHasLoaderName;
    info.command_line = static_cast<u32>(kCommandLine.raw);
    info.modules = static_cast<u32>(kTables.raw);
    info.loader_name = static_cast<u32>(kTables.raw + kTextOffset);
    HV_TRY(put(memory, kBootInfo, info));
    HV_TRY(put_gdt(memory, false));
    EntryState entry;
    entry.mode = EntryState::Mode::Protected32;
    entry.rip = placed.entry;
    entry.rax = kLoaderMagic;
    entry.rbx = kBootInfo.raw;
    entry.gdt = kGdt;
    return entry;
}
} // namespace hv::partition
