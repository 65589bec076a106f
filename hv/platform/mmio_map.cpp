// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/mmio_map.hpp"

namespace hv::platform {
u64 MmioMap::read(Gpa at, u8 size_bytes) {
    u32 const offset = static_cast<u32>(at.page_offset());
    if (in_local_apic(at)) {
        ++counters_.local_apic;
        return local_.read_mmio(offset, size_bytes);
    }
    if (in_io_apic(at)) {
        ++counters_.io_apic;
        return io_.read_mmio(offset, size_bytes);
    }
    ++counters_.absent;
    return ~0ull;
}

void MmioMap::write(Gpa at, u8 size_bytes, u64 value) {
    u32 const offset = static_cast<u32>(at.page_offset());
    if (in_local_apic(at)) {
        ++counters_.local_apic;
        local_.write_mmio(offset, size_bytes, value);
    } else if (in_io_apic(at)) {
        ++counters_.io_apic;
        io_.write_mmio(offset, size_bytes, value);
    } else {
        ++counters_.absent;
    }
}
} // namespace hv::platform
