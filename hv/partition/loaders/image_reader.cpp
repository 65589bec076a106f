// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/loaders/image_reader.hpp"

namespace hv::partition {
Result<void, LoadError> put_bytes(GuestAccess& memory, Gpa at, std::span<u8 const> bytes) {
    if (!memory.write(at, bytes)) {
        return Err{LoadError::GuestMemory};
    }
    return {};
}

Result<void, LoadError> put_zeros(GuestAccess& memory, Gpa at, u64 bytes) {
    static constexpr u8 kZeros[512] = {};
    while (bytes != 0) {
        u64 const chunk = bytes < sizeof kZeros ? bytes : sizeof kZeros;
        HV_TRY(put_bytes(memory, at, {kZeros, chunk}));
        at = at + chunk;
        bytes -= chunk;
    }
    return {};
}

bool in_ram(std::span<MemoryMapEntry const> map, u64 base, u64 bytes) {
    for (MemoryMapEntry const& e : map) {
        if (e.type == 1 && base >= e.base.raw && base - e.base.raw <= e.bytes &&
            bytes <= e.bytes - (base - e.base.raw)) {
            return true;
        }
    }
    return false;
}

Result<Gpa, LoadError> place_high(std::span<MemoryMapEntry const> map, u64 bytes, u64 floor, u64 below) {
    for (usize i = map.size(); i-- > 0;) {
        MemoryMapEntry const& e = map[i];
        if (e.type != 1) {
            continue;
        }
        u64 const end = e.base.raw + e.bytes < below ? e.base.raw + e.bytes : below;
        u64 const start = e.base.raw > floor ? e.base.raw : floor;
        if (end < bytes) {
            continue;
        }
        u64 const at = align_down(end - bytes, kPageBytes);
        if (at >= start && at < end) {
            return Gpa{at};
        }
    }
    return Err{LoadError::DoesNotFit};
}

Result<void, LoadError> put_gdt(GuestAccess& memory, bool long_mode) {
    // SDM vol 3A, "Segment Descriptors": flat, present, accessed; code execute/read, data read/write.
    u64 const descriptors[4] = {0, 0, long_mode ? u64{0x00af'9b00'0000'ffff} : u64{0x00cf'9b00'0000'ffff},
                                0x00cf'9300'0000'ffff};
    return put(memory, kGdt, descriptors);
}

Result<void, LoadError> put_command_line(GuestAccess& memory, std::string_view text, u64 longest) {
    if (text.size() > longest || text.size() >= kPageBytes) {
        return Err{LoadError::CommandLineTooLong};
    }
    HV_TRY(put_bytes(memory, kCommandLine, {reinterpret_cast<u8 const*>(text.data()), text.size()}));
    return put(memory, kCommandLine + text.size(), u8{0});
}

std::string_view text(LoadError error) {
    switch (error) {
    case LoadError::NotAKernel: return "is no bzImage, PVH ELF or multiboot kernel";
    case LoadError::Damaged: return "is damaged: a header points beyond the end of the file";
    case LoadError::Unsupported:
        return "needs a boot feature that is not offered (64-bit bzImage entry, PVH note, multiboot 1 "
               "without video)";
    case LoadError::DoesNotFit: return "does not fit into the partition's startup memory: raise startup-mib";
    case LoadError::CommandLineTooLong: return "has a command line longer than the kernel takes";
    case LoadError::GuestMemory: return "could not be written into the partition's memory";
    }
    return "?";
}

Result<EntryState, LoadError> load_kernel(LoadRequest const& request, GuestAccess& memory) {
    if (is_bzimage(request.kernel)) {
        return load_bzimage(request, memory);
    }
    if (is_multiboot(request.kernel)) {
        auto const entry = load_multiboot(request, memory);
        // An ELF64 may carry both, and multiboot 1 cannot load it.
        if (entry.ok() || entry.error() != LoadError::Unsupported || !is_pvh(request.kernel)) {
            return entry;
        }
    }
    if (is_pvh(request.kernel)) {
        return load_pvh(request, memory);
    }
    return Err{LoadError::NotAKernel};
}
} // namespace hv::partition
