// SPDX-License-Identifier: Apache-2.0
// Puts a kernel image into guest memory. Three kinds: Linux bzImage (64-bit boot protocol), ELF64 with a PVH
// note, 32-bit multiboot 1. Images are hostile-ish input (an operator's file): every offset is checked
// against the file and the RAM.
#pragma once
#include "hv/base/result.hpp"
#include "hv/core/guest_access.hpp"
#include <span>
#include <string_view>

namespace hv::partition {
/// One range of the guest's memory map as firmware would report it. Types: e820's (1 RAM, 2 reserved, 3
/// ACPI).
struct MemoryMapEntry {
    Gpa base;
    u64 bytes;
    u32 type;
};

struct ModuleImage {
    std::span<u8 const> bytes;
    std::string_view name;
};

struct LoadRequest {
    std::span<u8 const> kernel;
    std::span<u8 const> initrd;           ///< Linux and PVH
    std::span<ModuleImage const> modules; ///< multiboot and PVH (after the initrd)
    std::string_view command_line;
    std::span<MemoryMapEntry const> map; ///< ascending; the first RAM range above 1 MiB takes the kernel
    Gpa rsdp;
};

/// How the boot processor enters the kernel. Interrupts off, flat segments, everything else as after reset.
struct EntryState {
    enum class Mode : u8 { Protected32, Long64 } mode = Mode::Long64;
    u64 rip = 0;
    u64 rax = 0, rbx = 0, rsi = 0;
    u64 cr3 = 0; ///< Long64: identity-mapping page tables
    Gpa gdt;     ///< table of 4 descriptors: null, null, code (0x10), data (0x18)
    u16 gdt_limit = 31;
};

enum class LoadError : u8 {
    NotAKernel,  ///< none of the three formats
    Damaged,     ///< offsets or sizes beyond the file
    Unsupported, ///< e.g. a bzImage without the 64-bit entry, multiboot with unknown required flags
    DoesNotFit,  ///< RAM too small for kernel, initrd or modules
    CommandLineTooLong,
    GuestMemory, ///< the partition's memory refused a write
};
std::string_view text(LoadError);

/// Recognises the format and loads. Context: partition start, before its first run.
Result<EntryState, LoadError> load_kernel(LoadRequest const&, GuestAccess&);

bool is_bzimage(std::span<u8 const> kernel);
Result<EntryState, LoadError> load_bzimage(LoadRequest const&, GuestAccess&);
bool is_pvh(std::span<u8 const> kernel);
Result<EntryState, LoadError> load_pvh(LoadRequest const&, GuestAccess&);
bool is_multiboot(std::span<u8 const> kernel);
Result<EntryState, LoadError> load_multiboot(LoadRequest const&, GuestAccess&);
} // namespace hv::partition
