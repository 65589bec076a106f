// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/numa.hpp"

#include "boot/efi/acpi_tables.hpp"
#include <algorithm>

namespace ballast::loader {
namespace {
constexpr std::size_t kSratEntries = kAcpiHeaderBytes + 12;
constexpr std::uint8_t kCpuAffinity = 0;
constexpr std::uint8_t kMemoryAffinity = 1;
constexpr std::uint8_t kX2ApicAffinity = 2;
constexpr std::uint32_t kEnabled = 1;

/// The domain's low byte and its three high bytes lie apart: revision 1 of the table had only the low one.
std::uint32_t split_domain(std::span<std::byte const> entry) {
    return static_cast<std::uint32_t>(read_le<std::uint8_t>(entry, 2)) |
           static_cast<std::uint32_t>(read_le<std::uint16_t>(entry, 9)) << 8 |
           static_cast<std::uint32_t>(read_le<std::uint8_t>(entry, 11)) << 24;
}
} // namespace

NumaMap::NumaMap(std::span<std::byte const> srat) {
    for_each_entry(srat, kSratEntries, [this](std::uint8_t type, std::span<std::byte const> entry) {
        if (type == kCpuAffinity && entry.size() >= 16 && (read_le<std::uint32_t>(entry, 4) & kEnabled) != 0)
            add_cpu(read_le<std::uint8_t>(entry, 3), split_domain(entry));
        if (type == kX2ApicAffinity && entry.size() >= 24 &&
            (read_le<std::uint32_t>(entry, 12) & kEnabled) != 0)
            add_cpu(read_le<std::uint32_t>(entry, 8), read_le<std::uint32_t>(entry, 4));
        if (type == kMemoryAffinity && entry.size() >= 40 &&
            (read_le<std::uint32_t>(entry, 28) & kEnabled) != 0)
            add_memory(read_le<std::uint64_t>(entry, 8), read_le<std::uint64_t>(entry, 16),
                       read_le<std::uint32_t>(entry, 2));
    });
}

void NumaMap::add_cpu(std::uint32_t apic_id, std::uint32_t domain) {
    if (cpu_count_ == cpus_.size()) return;
    cpus_[cpu_count_++] = {apic_id, domain};
    add_domain(domain);
}

void NumaMap::add_memory(std::uint64_t base, std::uint64_t bytes, std::uint32_t domain) {
    if (memory_count_ == memory_.size() || bytes == 0 || bytes > ~base) return;
    std::size_t at = memory_count_;
    while (at > 0 && memory_[at - 1].base > base)
        at--;
    // A range that runs into a neighbour would make one page belong to two nodes.
    if ((at > 0 && memory_[at - 1].base + memory_[at - 1].bytes > base) ||
        (at < memory_count_ && base + bytes > memory_[at].base))
        return;
    std::copy_backward(memory_.begin() + at, memory_.begin() + memory_count_,
                       memory_.begin() + memory_count_ + 1);
    memory_[at] = {base, bytes, domain};
    memory_count_++;
    add_domain(domain);
}

void NumaMap::add_domain(std::uint32_t domain) {
    auto* const end = domains_.data() + domain_count_;
    auto* const at = std::lower_bound(domains_.data(), end, domain);
    if ((at != end && *at == domain) || domain_count_ == domains_.size()) return;
    std::copy_backward(at, end, end + 1);
    *at = domain;
    domain_count_++;
}

std::uint32_t NumaMap::node_of_domain(std::uint32_t domain) const {
    auto const* const end = domains_.data() + domain_count_;
    auto const* const at = std::lower_bound(domains_.data(), end, domain);
    return at != end && *at == domain ? static_cast<std::uint32_t>(at - domains_.data()) : 0;
}

std::uint32_t NumaMap::node_of_cpu(std::uint32_t apic_id) const {
    for (std::size_t i = 0; i < cpu_count_; i++)
        if (cpus_[i].apic_id == apic_id) return node_of_domain(cpus_[i].domain);
    return 0;
}

std::uint32_t NumaMap::write_ranges(std::span<handoff::NodeRange> out, std::uint64_t physical_limit) const {
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < memory_count_ && count < out.size(); i++) {
        Memory const& memory = memory_[i];
        if (memory.base >= physical_limit) continue; // room for memory that is not plugged in yet
        std::uint64_t const bytes = std::min(memory.bytes, physical_limit - memory.base);
        out[count++] = {memory.base, bytes, node_of_domain(memory.domain), 0};
    }
    return count;
}
} // namespace ballast::loader
