// SPDX-License-Identifier: Apache-2.0
// The page tables under which hv.elf starts: physical memory one to one and again at kDirectMapBase (the same
// tables hang under both), and the loaded image at kImageBase. The hypervisor replaces them with its own.
// Pure: host-compiled and unit-tested; an address of the arena is used as a pointer and as a physical address
// alike.
//
//   PML4[0..]   ---+--> PDPT: 1 GiB pages, or PDs of 2 MiB pages       identity
//   PML4[256..] ---+                                                   direct map
//   PML4[511]   ------> PDPT[510] -> PD -> PT of 4 KiB pages           image
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace ballast::loader {
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kLargePageBytes = 2ull << 20;
inline constexpr std::uint64_t kGiantPageBytes = 1ull << 30;

struct PageTablePlan {
    std::uint64_t physical_limit; ///< multiple of 1 GiB, at most 127 TiB
    std::uint64_t image_base;     ///< physical, page aligned: home of kImageBase
    std::uint64_t image_bytes;    ///< multiple of 4096, at most 1 GiB
    bool giant_pages;             ///< the CPU has 1 GiB pages
};

/// First limit that maps `end_of_ram` and the first 4 GiB: a multiple of 1 GiB.
std::uint64_t physical_limit_for(std::uint64_t end_of_ram);

/// Table pages that build_page_tables() takes for this plan, 0 when the plan cannot be mapped.
std::size_t page_table_pages(PageTablePlan const& plan);

/// Builds the tables in `arena`: zeroed, page aligned, at least page_table_pages() pages.
/// @return value for CR3, or 0 when the plan cannot be mapped or the arena is too small.
/// Source: Intel SDM vol 3A, "4-Level Paging and 5-Level Paging".
[[nodiscard]] std::uint64_t build_page_tables(PageTablePlan const& plan, std::span<std::byte> arena);
} // namespace ballast::loader
