// SPDX-License-Identifier: Apache-2.0
// The last steps: gathers what goes into BootInfo, leaves boot services and enters the hypervisor.
#pragma once
#include "boot/efi/boot_memory.hpp"
#include "boot/efi/elf.hpp"
#include "boot/handoff/boot_info.hpp"
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ballast::loader {
/// Collects the record in its final memory. Needs boot services until leave().
class Handover {
  public:
    Handover();

    handoff::BootInfo& info() { return *info_; }

    /// Copies hv.elf's segments to their physical home and keeps the file.
    void set_hypervisor(std::span<std::byte const> file, ElfImage const& image);
    void set_device_tree(std::span<std::byte const> tree);
    void add_image(std::string_view name, std::span<std::byte const> bytes);

    /// Page tables, stack and trampoline for all RAM below `end_of_ram`.
    void prepare(std::uint64_t end_of_ram, bool giant_pages);

    /// Leaves boot services, writes the memory map and jumps to the hypervisor.
    [[noreturn]] void leave(EFI_HANDLE image);

  private:
    void exit_boot_services(EFI_HANDLE image);
    void write_memory_map();

    handoff::BootInfo* info_;
    FirmwareMap map_;
    std::uint64_t entry_ = 0;
    std::uint64_t root_table_ = 0;
    std::uint64_t stack_base_ = 0;
};
} // namespace ballast::loader
