// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/boot_memory.hpp"

#include "boot/efi/console.hpp"
#include "boot/efi/page_tables.hpp"
#include <cstring>

namespace ballast::loader {
namespace {
constexpr std::uint64_t kLowMemoryEnd = 0xa0000;
constexpr std::uint64_t kMapSlackBytes = 16 * kPageBytes;

std::uint64_t pages_for(std::uint64_t bytes) {
    return (bytes + kPageBytes - 1) / kPageBytes;
}

[[noreturn]] void fail_memory(std::uint64_t bytes, std::string_view purpose) {
    fail("not enough memory for ", purpose, " (", (bytes + (1u << 20) - 1) >> 20,
         " MiB); give the machine more memory or name smaller images in ballast.dts");
}

std::span<std::byte> span_at(EFI_PHYSICAL_ADDRESS base, std::uint64_t bytes) {
    return {reinterpret_cast<std::byte*>(base), bytes};
}
} // namespace

std::span<std::byte> allocate_dirty(std::uint64_t bytes, std::string_view purpose) {
    EFI_PHYSICAL_ADDRESS base = 0;
    if (failed(boot_services().AllocatePages(AllocateAnyPages, EfiLoaderData, pages_for(bytes), &base)))
        fail_memory(bytes, purpose);
    return span_at(base, bytes);
}

std::span<std::byte> allocate(std::uint64_t bytes, std::string_view purpose) {
    auto const memory = allocate_dirty(bytes, purpose);
    std::memset(memory.data(), 0, memory.size());
    return memory;
}

std::span<std::byte> allocate_large_aligned(std::uint64_t bytes, std::string_view purpose) {
    std::uint64_t const wanted_pages = pages_for(bytes);
    std::uint64_t const spare_pages = kLargePageBytes / kPageBytes - 1;
    auto const whole = allocate_dirty((wanted_pages + spare_pages) * kPageBytes, purpose);
    std::uint64_t const start = address_of(whole);
    std::uint64_t const base = (start + kLargePageBytes - 1) & ~(kLargePageBytes - 1);
    std::uint64_t const before_pages = (base - start) / kPageBytes;
    if (before_pages != 0) boot_services().FreePages(start, before_pages);
    if (before_pages != spare_pages)
        boot_services().FreePages(base + wanted_pages * kPageBytes, spare_pages - before_pages);
    auto const memory = span_at(base, bytes);
    std::memset(memory.data(), 0, wanted_pages * kPageBytes);
    return memory;
}

std::span<std::byte> allocate_trampoline() {
    EFI_PHYSICAL_ADDRESS base = kLowMemoryEnd - 1;
    if (failed(boot_services().AllocatePages(AllocateMaxAddress, EfiLoaderData, 1, &base)))
        fail("no free page below 640 KiB to start the other processors with; start Ballast directly from the "
             "firmware, "
             "not from another boot loader");
    auto const memory = span_at(base, kPageBytes);
    std::memset(memory.data(), 0, memory.size());
    return memory;
}

FirmwareMap::FirmwareMap() {
    UINTN bytes = 0, key = 0, stride = 0;
    UINT32 version = 0;
    boot_services().GetMemoryMap(&bytes, nullptr, &key, &stride, &version); // only asks for the size
    buffer_ = allocate_dirty(bytes + kMapSlackBytes, "the memory map");
}

EFI_STATUS FirmwareMap::refresh() {
    used_bytes_ = buffer_.size();
    UINT32 version = 0;
    EFI_STATUS const status =
        boot_services().GetMemoryMap(&used_bytes_, reinterpret_cast<EFI_MEMORY_DESCRIPTOR*>(buffer_.data()),
                                     &key_, &stride_bytes_, &version);
    if (failed(status)) used_bytes_ = 0;
    return status;
}
} // namespace ballast::loader
