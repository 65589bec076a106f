// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/memory_map.hpp"

#include <algorithm>
#include <cstring>

namespace ballast::loader {
using handoff::MemoryKind;
using handoff::MemoryRange;

namespace {
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kHighestEnd = 1ull << 52; // no physical address is longer

// UEFI 2.10 §7.2, table "Memory Type Usage after ExitBootServices()".
enum EfiType : std::uint32_t {
    LoaderCode = 1,
    LoaderData = 2,
    BootServicesCode = 3,
    BootServicesData = 4,
    RuntimeServicesCode = 5,
    RuntimeServicesData = 6,
    Conventional = 7,
    AcpiReclaim = 9,
    AcpiNvs = 10,
    MappedIo = 11,
    MappedIoPorts = 12,
};

bool is_ram(std::uint32_t type) {
    return type >= LoaderCode && type <= AcpiNvs && type != 8;
}

std::uint64_t end_of(EfiDescriptor const& descriptor) {
    if (descriptor.physical_start >= kHighestEnd) return descriptor.physical_start;
    std::uint64_t const room = (kHighestEnd - descriptor.physical_start) / kPageBytes;
    return descriptor.physical_start + std::min(descriptor.pages, room) * kPageBytes;
}

/// Order of painting: a page that the firmware describes twice keeps the kind painted last.
constexpr MemoryKind kPaintOrder[] = {MemoryKind::Usable, MemoryKind::Loader, MemoryKind::Acpi,
                                      MemoryKind::Mmio, MemoryKind::Firmware};
} // namespace

EfiDescriptor EfiDescriptors::at(std::size_t index) const {
    EfiDescriptor descriptor;
    std::memcpy(&descriptor, bytes.data() + index * stride_bytes, sizeof descriptor);
    return descriptor;
}

MemoryKind kind_of_efi_type(std::uint32_t type) {
    switch (type) {
    case BootServicesCode:
    case BootServicesData:
    case Conventional: return MemoryKind::Usable;
    case LoaderCode:
    case LoaderData: return MemoryKind::Loader;
    case AcpiReclaim:
    case AcpiNvs: return MemoryKind::Acpi;
    case MappedIo:
    case MappedIoPorts: return MemoryKind::Mmio;
    default: return MemoryKind::Firmware;
    }
}

std::uint64_t end_of_ram(EfiDescriptors descriptors) {
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < descriptors.count(); i++) {
        EfiDescriptor const descriptor = descriptors.at(i);
        if (is_ram(descriptor.type) && descriptor.physical_start < kHighestEnd)
            end = std::max(end, end_of(descriptor));
    }
    return end;
}

void MemoryMap::paint(EfiDescriptors descriptors) {
    for (MemoryKind const kind : kPaintOrder)
        for (std::size_t i = 0; i < descriptors.count(); i++) {
            EfiDescriptor const descriptor = descriptors.at(i);
            if (kind_of_efi_type(descriptor.type) == kind)
                paint(descriptor.physical_start, end_of(descriptor) - descriptor.physical_start, kind);
        }
}

void MemoryMap::paint(std::uint64_t base, std::uint64_t bytes, MemoryKind kind) {
    if (bytes == 0 || base >= kHighestEnd) return;
    std::uint64_t const end =
        (std::min(base + std::min(bytes, kHighestEnd), kHighestEnd) + kPageBytes - 1) & ~(kPageBytes - 1);
    base &= ~(kPageBytes - 1);

    // Cut [base, end) out of what is there, then put the new range into the gap.
    std::size_t at = 0;
    while (at < count_ && ranges_[at].base + ranges_[at].bytes <= base)
        at++;
    if (at < count_ && ranges_[at].base < base) {
        MemoryRange const whole = ranges_[at];
        ranges_[at].bytes = base - whole.base;
        at++;
        if (whole.base + whole.bytes > end) insert(at, {end, whole.base + whole.bytes - end, whole.kind, 0});
    }
    while (at < count_ && ranges_[at].base + ranges_[at].bytes <= end)
        remove(at);
    if (at < count_ && ranges_[at].base < end) {
        ranges_[at].bytes -= end - ranges_[at].base;
        ranges_[at].base = end;
    }
    insert(at, {base, end - base, kind, 0});
    merge();
}

void MemoryMap::insert(std::size_t at, MemoryRange range) {
    if (count_ == kCapacity) {
        overflowed_ = true;
        return;
    }
    std::copy_backward(ranges_.begin() + at, ranges_.begin() + count_, ranges_.begin() + count_ + 1);
    ranges_[at] = range;
    count_++;
}

void MemoryMap::remove(std::size_t at) {
    std::copy(ranges_.begin() + at + 1, ranges_.begin() + count_, ranges_.begin() + at);
    count_--;
}

void MemoryMap::merge() {
    std::size_t kept = 0;
    for (std::size_t i = 1; i < count_; i++) {
        MemoryRange& last = ranges_[kept];
        if (last.kind == ranges_[i].kind && last.base + last.bytes == ranges_[i].base)
            last.bytes += ranges_[i].bytes;
        else
            ranges_[++kept] = ranges_[i];
    }
    count_ = count_ == 0 ? 0 : kept + 1;
}

std::uint64_t MemoryMap::usable_bytes() const {
    std::uint64_t bytes = 0;
    for (MemoryRange const& range : ranges())
        if (range.kind == MemoryKind::Usable || range.kind == MemoryKind::Loader ||
            range.kind == MemoryKind::Image)
            bytes += range.bytes;
    return bytes;
}

std::optional<std::uint32_t> MemoryMap::write_to(std::span<MemoryRange> out) {
    while (count_ > out.size()) {
        std::size_t smallest = count_;
        for (std::size_t i = 0; i < count_; i++)
            if (ranges_[i].kind == MemoryKind::Usable &&
                (smallest == count_ || ranges_[i].bytes < ranges_[smallest].bytes))
                smallest = i;
        if (smallest == count_) return std::nullopt;
        remove(smallest);
    }
    std::copy_n(ranges_.begin(), count_, out.begin());
    return static_cast<std::uint32_t>(count_);
}
} // namespace ballast::loader
