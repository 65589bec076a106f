// SPDX-License-Identifier: Apache-2.0
// ELF64 kernels with a PVH note. Source: Xen, docs/misc/pvh.pandoc and
// xen/include/public/arch-x86/hvm/start_info.h.
#include "hv/partition/loaders/image_reader.hpp"

namespace hv::partition {
namespace {
struct ElfHeader { // ELF-64 Object File Format, "ELF header"
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, program_offset, section_offset;
    u32 flags;
    u16 header_bytes, program_entry_bytes, program_count, section_entry_bytes, section_count, section_names;
};
static_assert(sizeof(ElfHeader) == 64);
struct ProgramHeader {
    u32 type, flags;
    u64 offset, virtual_address, physical_address, file_bytes, memory_bytes, alignment;
};
static_assert(sizeof(ProgramHeader) == 56);
struct NoteHeader {
    u32 name_bytes, data_bytes, type;
};
constexpr u32 kLoad = 1, kNote = 4;
constexpr u16 kMachineX86_64 = 62;
constexpr u32 kPhys32Entry = 18; // XEN_ELFNOTE_PHYS32_ENTRY
constexpr u16 kMaxProgramHeaders = 64;

struct StartInfo {
    u32 magic = 0x336e'c578, version = 1, flags = 0, module_count = 0;
    u64 modules = 0, command_line = 0, rsdp = 0, memory_map = 0;
    u32 memory_map_entries = 0, reserved = 0;
};
static_assert(sizeof(StartInfo) == 56);
struct ModuleEntry {
    u64 base, bytes, command_line, reserved;
};
struct MapEntry {
    u64 base, bytes;
    u32 type, reserved;
};
static_assert(sizeof(ModuleEntry) == 32 && sizeof(MapEntry) == 24);
constexpr u64 kMapOffset = 1024; // in the kTables page, after the modules
constexpr u64 kMaxMapEntries = (kPageBytes - kMapOffset) / sizeof(MapEntry);
constexpr u64 kMaxModules = kMapOffset / sizeof(ModuleEntry);

Result<ElfHeader, LoadError> parse(std::span<u8 const> kernel) {
    ElfHeader const h = HV_TRY(read_image<ElfHeader>(kernel, 0));
    if (h.machine != kMachineX86_64 || h.program_entry_bytes != sizeof(ProgramHeader) ||
        h.program_count > kMaxProgramHeaders) {
        return Err{LoadError::Unsupported};
    }
    return h;
}

Result<ProgramHeader, LoadError> program_header(std::span<u8 const> kernel, ElfHeader const& h, u16 index) {
    if (h.program_offset > kernel.size()) {
        return Err{LoadError::Damaged};
    }
    return read_image<ProgramHeader>(kernel, h.program_offset + index * sizeof(ProgramHeader));
}

/// The entry address in the PVH note, 0 when the note segment has none.
Result<u64, LoadError> entry_in_notes(std::span<u8 const> notes) {
    u64 at = 0;
    while (at + sizeof(NoteHeader) <= notes.size()) {
        NoteHeader const note = HV_TRY(read_image<NoteHeader>(notes, at));
        u64 const name = at + sizeof(NoteHeader);
        u64 const data = name + align_up(note.name_bytes, 4);
        if (note.type == kPhys32Entry && note.name_bytes == 4) {
            auto const owner = HV_TRY(part(notes, name, 4));
            if (std::memcmp(owner.data(), "Xen", 4) == 0) {
                if (note.data_bytes >= 8) {
                    return HV_TRY(read_image<u64>(notes, data));
                }
                return static_cast<u64>(HV_TRY(read_image<u32>(notes, data)));
            }
        }
        at = data + align_up(note.data_bytes, 4);
    }
    return u64{0};
}

Result<u64, LoadError> find_entry(std::span<u8 const> kernel) {
    ElfHeader const h = HV_TRY(parse(kernel));
    for (u16 i = 0; i < h.program_count; ++i) {
        ProgramHeader const p = HV_TRY(program_header(kernel, h, i));
        if (p.type != kNote) {
            continue;
        }
        u64 const entry = HV_TRY(entry_in_notes(HV_TRY(part(kernel, p.offset, p.file_bytes))));
        if (entry != 0) {
            return entry;
        }
    }
    return Err{LoadError::Unsupported};
}

/// Loads the segments. @return the end of the highest one
Result<u64, LoadError> load_segments(LoadRequest const& request, GuestAccess& memory) {
    ElfHeader const h = HV_TRY(parse(request.kernel));
    u64 end = kFirstMib.raw;
    for (u16 i = 0; i < h.program_count; ++i) {
        ProgramHeader const p = HV_TRY(program_header(request.kernel, h, i));
        if (p.type != kLoad || p.memory_bytes == 0) {
            continue;
        }
        if (p.file_bytes > p.memory_bytes) {
            return Err{LoadError::Damaged};
        }
        auto const bytes = HV_TRY(part(request.kernel, p.offset, p.file_bytes));
        // Below 1 MiB lie our tables.
        if (p.physical_address < kFirstMib.raw || !in_ram(request.map, p.physical_address, p.memory_bytes)) {
            return Err{LoadError::DoesNotFit};
        }
        HV_TRY(put_bytes(memory, Gpa{p.physical_address}, bytes));
        HV_TRY(put_zeros(memory, Gpa{p.physical_address + p.file_bytes}, p.memory_bytes - p.file_bytes));
        if (p.physical_address + p.memory_bytes > end) {
            end = p.physical_address + p.memory_bytes;
        }
    }
    return end;
}

Result<ModuleEntry, LoadError> put_module(LoadRequest const& request, std::span<u8 const> bytes, u64 floor,
                                          u64& ceiling, GuestAccess& memory) {
    Gpa const at = HV_TRY(place_high(request.map, bytes.size(), floor, ceiling));
    HV_TRY(put_bytes(memory, at, bytes));
    ceiling = at.raw;
    return ModuleEntry{at.raw, bytes.size(), 0, 0};
}
} // namespace

bool is_pvh(std::span<u8 const> kernel) {
    static constexpr u8 kIdent[6] = {0x7f, 'E', 'L', 'F', 2, 1}; // 64-bit, little-endian
    return kernel.size() >= sizeof(ElfHeader) && std::memcmp(kernel.data(), kIdent, sizeof kIdent) == 0;
}

Result<EntryState, LoadError> load_pvh(LoadRequest const& request, GuestAccess& memory) {
    u64 const entry_point = HV_TRY(find_entry(request.kernel));
    if (entry_point >= 4 * GiB || !in_ram(request.map, entry_point, 1)) { // entered in 32-bit mode
        return Err{LoadError::Damaged};
    }
    u64 const end = HV_TRY(load_segments(request, memory));
    StartInfo info;
    info.command_line = kCommandLine.raw;
    info.rsdp = request.rsdp.raw;
    info.modules = kTables.raw;
    info.memory_map = kTables.raw + kMapOffset;
    u64 ceiling = 4 * GiB;
    if (request.modules.size() + 1 > kMaxModules || request.map.size() > kMaxMapEntries) {
        return Err{LoadError::DoesNotFit};
    }
    HV_TRY(put_zeros(memory, kTables, kPageBytes));
    if (!request.initrd.empty()) {
        ModuleEntry const m = HV_TRY(put_module(request, request.initrd, end, ceiling, memory));
        HV_TRY(put(memory, kTables + info.module_count++ * sizeof(ModuleEntry), m));
    }
    for (ModuleImage const& module : request.modules) {
        ModuleEntry const m = HV_TRY(put_module(request, module.bytes, end, ceiling, memory));
        HV_TRY(put(memory, kTables + info.module_count++ * sizeof(ModuleEntry), m));
    }
    for (MemoryMapEntry const& e : request.map) {
        HV_TRY(put(memory, Gpa{info.memory_map + info.memory_map_entries++ * sizeof(MapEntry)},
                   MapEntry{e.base.raw, e.bytes, e.type, 0}));
    }
    HV_TRY(put(memory, kBootInfo, info));
    HV_TRY(put_command_line(memory, request.command_line, kPageBytes - 1));
    HV_TRY(put_gdt(memory, false));
    EntryState entry;
    entry.mode = EntryState::Mode::Protected32;
    entry.rip = entry_point;
    entry.rbx = kBootInfo.raw;
    entry.gdt = kGdt;
    return entry;
}
} // namespace hv::partition
