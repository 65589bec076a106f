// SPDX-License-Identifier: Apache-2.0
// NUMA nodes from the SRAT: which memory and which processor belong together. The SRAT's proximity domains
// are any 32-bit numbers; the hand-over's nodes are 0, 1, 2… in the domains' order. Pure: host-compiled and
// unit-tested.
#pragma once
#include "boot/handoff/boot_info.hpp"
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ballast::loader {
class NumaMap {
  public:
    /// Reads an SRAT; entries that are disabled, damaged or past our limits are left out. An empty table
    /// means one node. Source: ACPI 6.5 §5.2.16.1 (local APIC), §5.2.16.2 (memory), §5.2.16.3 (local x2APIC
    /// affinity).
    explicit NumaMap(std::span<std::byte const> srat);

    /// At least 1.
    std::uint32_t node_count() const { return domain_count_ == 0 ? 1 : domain_count_; }

    /// Node of a processor, 0 where the SRAT does not say.
    std::uint32_t node_of_cpu(std::uint32_t apic_id) const;

    /// Writes the memory ranges below `physical_limit`, sorted by base and disjoint.
    /// @return ranges written.
    std::uint32_t write_ranges(std::span<handoff::NodeRange> out, std::uint64_t physical_limit) const;

  private:
    struct Cpu {
        std::uint32_t apic_id;
        std::uint32_t domain;
    };
    struct Memory {
        std::uint64_t base;
        std::uint64_t bytes;
        std::uint32_t domain;
    };

    void add_cpu(std::uint32_t apic_id, std::uint32_t domain);
    void add_memory(std::uint64_t base, std::uint64_t bytes, std::uint32_t domain);
    void add_domain(std::uint32_t domain);
    std::uint32_t node_of_domain(std::uint32_t domain) const;

    std::array<Cpu, 2 * handoff::kMaxCpus> cpus_{};
    std::array<Memory, handoff::kMaxNodeRanges> memory_{};
    std::array<std::uint32_t, handoff::kMaxNodeRanges> domains_{}; // sorted: the index is the node
    std::size_t cpu_count_ = 0;
    std::size_t memory_count_ = 0;
    std::uint32_t domain_count_ = 0;
};
} // namespace ballast::loader
