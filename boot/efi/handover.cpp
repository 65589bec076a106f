// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/handover.hpp"

#include "boot/efi/console.hpp"
#include "boot/efi/cpu_ops.hpp"
#include "boot/efi/machine.hpp"
#include "boot/efi/page_tables.hpp"
#include <algorithm>
#include <cstring>

namespace ballast::loader {
using handoff::BootInfo;
using handoff::MemoryKind;

namespace {
constexpr std::uint64_t kStackBytes = 64 << 10;
constexpr int kExitAttempts = 8;

// Work space for the ranges: too large for the firmware's stack.
constinit MemoryMap memory_map;

/// The jump itself: from here on no memory of the firmware's is used, and nothing returns. The registers are
/// named so that none of them is RBP, which is cleared before the last is read.
[[noreturn]] void enter(std::uint64_t root_table, std::uint64_t stack_top, std::uint64_t info,
                        std::uint64_t entry) {
    asm volatile("cli\n\t"
                 "mov %[root], %%cr3\n\t"
                 "mov %[stack], %%rsp\n\t"
                 "xor %%ebp, %%ebp\n\t" // ends stack traces
                 "jmp *%[entry]"
                 :
                 : [root] "a"(root_table), [stack] "d"(stack_top), [entry] "c"(entry), "D"(info)
                 : "memory");
    __builtin_unreachable();
}
} // namespace

Handover::Handover()
    : info_(reinterpret_cast<BootInfo*>(allocate(sizeof(BootInfo), "the hand-over record").data())) {
    info_->magic = handoff::kMagic;
    info_->version = handoff::kVersion;
    info_->bytes = sizeof(BootInfo);
}

void Handover::set_hypervisor(std::span<std::byte const> file, ElfImage const& image) {
    auto const memory = allocate_large_aligned(image.memory_bytes, "hv.elf");
    for (std::size_t i = 0; i < image.segment_count; i++) {
        ElfSegment const& segment = image.segments[i];
        std::memcpy(memory.data() + segment.offset_bytes, file.data() + segment.file_offset_bytes,
                    segment.file_bytes);
    }
    entry_ = image.entry;
    info_->hv_image = {address_of(memory), memory.size()};
    info_->hv_file = {address_of(file), file.size()};
}

void Handover::set_device_tree(std::span<std::byte const> tree) {
    info_->device_tree = {address_of(tree), tree.size()};
}

void Handover::add_image(std::string_view name, std::span<std::byte const> bytes) {
    handoff::ImageRecord& record = info_->images[info_->image_count++];
    std::copy(name.begin(), name.end(), record.name); // the record is zeroed: the NUL is there
    record.base = address_of(bytes);
    record.bytes = bytes.size();
}

void Handover::prepare(std::uint64_t end_of_ram, bool giant_pages) {
    PageTablePlan const plan{physical_limit_for(end_of_ram), info_->hv_image.base, info_->hv_image.bytes,
                             giant_pages};
    auto const arena = allocate(page_table_pages(plan) * kPageBytes, "page tables");
    root_table_ = build_page_tables(plan, arena);
    if (root_table_ == 0)
        fail("this machine's memory ends at ", Hex{end_of_ram}, ", which is more than Ballast can map");
    stack_base_ = address_of(allocate(kStackBytes, "the boot stack"));
    info_->physical_limit = plan.physical_limit;
    info_->boot_stack_top = handoff::kDirectMapBase + stack_base_ + kStackBytes;
    info_->ap_trampoline = address_of(allocate_trampoline());
}

void Handover::exit_boot_services(EFI_HANDLE image) {
    leave_screen();
    EFI_STATUS status = EFI_SUCCESS;
    // A timer of the firmware's may change the map between our reading it and leaving: then the key is stale.
    for (int attempt = 0; attempt < kExitAttempts; attempt++) {
        status = map_.refresh();
        if (failed(status)) break;
        status = boot_services().ExitBootServices(image, map_.key());
        if (!failed(status)) return;
    }
    fail("the firmware does not let go of the machine (ExitBootServices: ", describe_status(status),
         "); update the firmware or start Ballast directly from its boot menu");
}

void Handover::write_memory_map() {
    memory_map.paint(map_.descriptors());
    for (handoff::Span const& span : {info_->hv_image, info_->hv_file, info_->device_tree})
        memory_map.paint(span.base, span.bytes, MemoryKind::Image);
    for (std::uint32_t i = 0; i < info_->image_count; i++)
        memory_map.paint(info_->images[i].base, info_->images[i].bytes, MemoryKind::Image);
    auto const count = memory_map.write_to(info_->memory);
    if (!count || memory_map.overflowed())
        fail("the firmware's memory map has more ranges than Ballast can take; update the firmware");
    info_->memory_count = *count;
}

void Handover::leave(EFI_HANDLE image) {
    say("entering the hypervisor");
    info_->efi_epoch_seconds = wall_clock_seconds();
    info_->efi_epoch_tsc = read_tsc();
    exit_boot_services(image);
    disable_interrupts();
    write_memory_map();
    enter(root_table_, info_->boot_stack_top, reinterpret_cast<std::uint64_t>(info_), entry_);
}
} // namespace ballast::loader
