// SPDX-License-Identifier: Apache-2.0
// One load into a guest of 64 MiB below and 32 MiB above 4 GiB, laid out as hv/partition does.
#pragma once
#include "tests/unit/loaders/kernel_images.hpp"
#include "tests/unit/loaders/sparse_ram.hpp"

namespace hv::test {
struct LoaderBed {
    std::vector<partition::MemoryMapEntry> map{{Gpa{0}, 0xa'0000, 1},
                                               {Gpa{0xc'0000}, 0x4'0000, 2},
                                               {Gpa{0x10'0000}, 63 * MiB, 1},
                                               {Gpa{4 * GiB}, 32 * MiB, 1}};
    SparseRam ram{map};
    Image kernel, initrd;
    std::vector<partition::ModuleImage> modules;
    std::string command_line = "console=ttyS0 quiet";

    explicit LoaderBed(Image image) : kernel{std::move(image)} {}
    partition::LoadRequest request() const {
        return {.kernel = kernel,
                .initrd = initrd,
                .modules = modules,
                .command_line = command_line,
                .map = map,
                .rsdp = Gpa{0xe'0000}};
    }
    Result<partition::EntryState, partition::LoadError> load() {
        auto const entry = partition::load_kernel(request(), ram);
        CHECK(ram.writes_outside == 0);
        return entry;
    }
    partition::LoadError refused() {
        auto const entry = load();
        REQUIRE_FALSE(entry.ok());
        return entry.error();
    }
    static constexpr u64 kTop = 64 * MiB;
};

/// The GDT that every loader leaves: flat code at 0x10, flat data at 0x18.
inline void check_gdt(LoaderBed const& bed, partition::EntryState const& entry, bool long_mode) {
    CHECK(entry.gdt_limit == 31);
    CHECK(bed.ram.get<u64>(entry.gdt.raw) == 0);
    u64 const code = bed.ram.get<u64>(entry.gdt.raw + 0x10), data = bed.ram.get<u64>(entry.gdt.raw + 0x18);
    CHECK((code & 0xff00'ff00'0000'ffff) == 0x0000'9b00'0000'ffff); // base 0, code, present, accessed
    CHECK((data & 0xff00'ff00'0000'ffff) == 0x0000'9300'0000'ffff);
    CHECK((code >> 53 & 1) == (long_mode ? 1u : 0u)); // L
    CHECK((code >> 54 & 1) == (long_mode ? 0u : 1u)); // D
    CHECK((code >> 55 & 1) == 1);                     // G
    CHECK((data >> 54 & 3) == 3);
}
} // namespace hv::test
