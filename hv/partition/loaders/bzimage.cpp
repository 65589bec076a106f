// SPDX-License-Identifier: Apache-2.0
// Linux bzImage by the 64-bit boot protocol. Source: Linux, Documentation/arch/x86/boot.rst, "64-bit Boot
// Protocol" and zero-page.rst.
#include "hv/partition/loaders/image_reader.hpp"

namespace hv::partition {
namespace {
// Offsets in the file's first sectors, the same in the zero page.
constexpr u64 kSetupSects = 0x1f1, kBootFlag = 0x1fe, kHeaderLength = 0x201, kHeaderMagic = 0x202,
              kVersion = 0x206;
constexpr u64 kTypeOfLoader = 0x210, kRamdiskImage = 0x218, kRamdiskSize = 0x21c, kCommandLinePointer = 0x228;
constexpr u64 kInitrdMax = 0x22c, kKernelAlignment = 0x230, kXloadFlags = 0x236, kCommandLineSize = 0x238,
              kPreferredAddress = 0x258, kInitSize = 0x260;
// Zero page only.
constexpr u64 kAcpiRsdp = 0x070, kE820Entries = 0x1e8, kE820Table = 0x2d0;
constexpr u64 kE820Max = 128;
constexpr u32 kMagic = 0x53726448;     // "HdrS"
constexpr u16 kOldestVersion = 0x020c; // xloadflags
constexpr u16 kEntry64 = 1u << 0;
constexpr u64 kEntryOffset = 0x200;

constexpr u64 kMappedEnd = 4 * GiB; // of the identity map

struct [[gnu::packed]] E820Entry {
    u64 base, bytes;
    u32 type;
};
static_assert(sizeof(E820Entry) == 20);

struct Header {
    u64 setup_bytes;
    u64 header_end;
    u32 initrd_max, command_line_max, alignment, init_bytes;
    u64 preferred; ///< address the kernel was built to run at
};

Result<Header, LoadError> parse(std::span<u8 const> kernel) {
    u16 const version = HV_TRY(read_image<u16>(kernel, kVersion));
    if (version < kOldestVersion) {
        return Err{LoadError::Unsupported};
    }
    if ((HV_TRY(read_image<u16>(kernel, kXloadFlags)) & kEntry64) == 0) {
        return Err{LoadError::Unsupported};
    }
    u8 const sectors = HV_TRY(read_image<u8>(kernel, kSetupSects));
    Header h{};
    h.setup_bytes = (static_cast<u64>(sectors == 0 ? 4 : sectors) + 1) * 512;
    h.header_end = kHeaderMagic + HV_TRY(read_image<u8>(kernel, kHeaderLength));
    h.initrd_max = HV_TRY(read_image<u32>(kernel, kInitrdMax));
    h.command_line_max = HV_TRY(read_image<u32>(kernel, kCommandLineSize));
    h.alignment = HV_TRY(read_image<u32>(kernel, kKernelAlignment));
    h.init_bytes = HV_TRY(read_image<u32>(kernel, kInitSize));
    h.preferred = HV_TRY(read_image<u64>(kernel, kPreferredAddress));
    if (h.setup_bytes >= kernel.size() || h.header_end > kE820Table || h.alignment == 0 ||
        (h.alignment & (h.alignment - 1)) != 0) {
        return Err{LoadError::Damaged};
    }
    return h;
}

Result<void, LoadError> put_identity_map(GuestAccess& memory) {
    // Up to kMappedEnd with 2 MiB pages: kernel, zero page, command line and initrd are all below.
    u64 const pml4 = kPageTables.raw, pdpt = pml4 + kPageBytes, directories = pdpt + kPageBytes;
    HV_TRY(put_zeros(memory, kPageTables, 2 * kPageBytes));
    HV_TRY(put(memory, Gpa{pml4}, pdpt | 0x3));
    for (u64 i = 0; i < 4; ++i) {
        HV_TRY(put(memory, Gpa{pdpt + i * 8}, (directories + i * kPageBytes) | 0x3));
    }
    for (u64 i = 0; i < 4 * 512; ++i) {
        HV_TRY(put(memory, Gpa{directories + i * 8}, (i * kLargePageBytes) | 0x83));
    }
    return {};
}

Result<void, LoadError> put_zero_page(LoadRequest const& request, Header const& h, Gpa initrd,
                                      GuestAccess& memory) {
    HV_TRY(put_zeros(memory, kBootInfo, kPageBytes));
    auto const header = HV_TRY(part(request.kernel, kSetupSects, h.header_end - kSetupSects));
    HV_TRY(put_bytes(memory, kBootInfo + kSetupSects, header));
    HV_TRY(put(memory, kBootInfo + kTypeOfLoader, u8{0xff})); // "undefined loader": no id is ours
    HV_TRY(put(memory, kBootInfo + kCommandLinePointer, static_cast<u32>(kCommandLine.raw)));
    HV_TRY(put(memory, kBootInfo + kRamdiskImage, static_cast<u32>(initrd.raw)));
    HV_TRY(put(memory, kBootInfo + kRamdiskSize, static_cast<u32>(request.initrd.size())));
    HV_TRY(put(memory, kBootInfo + kAcpiRsdp, request.rsdp.raw));
    if (request.map.size() > kE820Max) {
        return Err{LoadError::DoesNotFit};
    }
    u64 count = 0;
    for (MemoryMapEntry const& e : request.map) {
        HV_TRY(put(memory, kBootInfo + kE820Table + count * sizeof(E820Entry),
                   E820Entry{e.base.raw, e.bytes, e.type}));
        ++count;
    }
    return put(memory, kBootInfo + kE820Entries, static_cast<u8>(count));
}
} // namespace

bool is_bzimage(std::span<u8 const> kernel) {
    auto const magic = read_image<u32>(kernel, kHeaderMagic);
    auto const flag = read_image<u16>(kernel, kBootFlag);
    return magic.ok() && flag.ok() && magic.value() == kMagic && flag.value() == 0xaa55;
}

Result<EntryState, LoadError> load_bzimage(LoadRequest const& request, GuestAccess& memory) {
    Header const h = HV_TRY(parse(request.kernel));
    auto const payload = request.kernel.subspan(h.setup_bytes);
    u64 const load = kFirstMib.raw;
    // The decompressor works from its load address rounded up, but not below the preferred one.
    u64 const aligned = align_up(load, h.alignment);
    u64 const run = aligned > h.preferred ? aligned : h.preferred;
    if (run >= kMappedEnd || !in_ram(request.map, load, payload.size()) ||
        !in_ram(request.map, run, h.init_bytes)) {
        return Err{LoadError::DoesNotFit};
    }
    u64 const busy_end =
        load + payload.size() > run + h.init_bytes ? load + payload.size() : run + h.init_bytes;
    Gpa initrd{0};
    if (!request.initrd.empty()) {
        initrd = HV_TRY(
            place_high(request.map, request.initrd.size(), busy_end, static_cast<u64>(h.initrd_max) + 1));
        HV_TRY(put_bytes(memory, initrd, request.initrd));
    }
    HV_TRY(put_bytes(memory, Gpa{load}, payload));
    HV_TRY(put_zero_page(request, h, initrd, memory));
    HV_TRY(put_command_line(memory, request.command_line, h.command_line_max));
    HV_TRY(put_gdt(memory, true));
    HV_TRY(put_identity_map(memory));
    EntryState entry;
    entry.mode = EntryState::Mode::Long64;
    entry.rip = load + kEntryOffset;
    entry.rsi = kBootInfo.raw;
    entry.cr3 = kPageTables.raw;
    entry.gdt = kGdt;
    return entry;
}
} // namespace hv::partition
