// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/page_tables.hpp"

#include "boot/handoff/boot_info.hpp"
#include <algorithm>

namespace ballast::loader {
namespace {
constexpr std::uint64_t kPresent = 1ull << 0;
constexpr std::uint64_t kWritable = 1ull << 1;
constexpr std::uint64_t kPageSize = 1ull << 7;
constexpr std::uint64_t kTableEntry = kPresent | kWritable;
constexpr std::uint64_t kEntries = 512;
constexpr std::uint64_t kSlotBytes = kGiantPageBytes * kEntries; // what one PML4 entry maps
constexpr std::uint64_t kDirectSlot = (handoff::kDirectMapBase >> 39) & 511;
constexpr std::uint64_t kImageSlot = (handoff::kImageBase >> 39) & 511;
constexpr std::uint64_t kImageGiantSlot = (handoff::kImageBase >> 30) & 511;
static_assert(kDirectSlot == 256 && kImageSlot == 511 && kImageGiantSlot == 510);

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
    return (value + by - 1) / by;
}

bool valid(PageTablePlan const& plan) {
    return plan.physical_limit != 0 && plan.physical_limit % kGiantPageBytes == 0 &&
           plan.physical_limit <= (kImageSlot - kDirectSlot) * kSlotBytes && plan.image_bytes != 0 &&
           plan.image_bytes % kPageBytes == 0 && plan.image_bytes <= kGiantPageBytes &&
           plan.image_base % kPageBytes == 0;
}

using Table = std::uint64_t*;

/// Hands out the arena's pages in order; page_table_pages() has made sure that they suffice.
class Builder {
  public:
    explicit Builder(std::span<std::byte> arena) : next_(arena.data()) {}

    Table new_table() {
        auto* const table = reinterpret_cast<Table>(next_);
        next_ += kPageBytes;
        return table;
    }

    static std::uint64_t entry_for(Table table) {
        return reinterpret_cast<std::uint64_t>(table) | kTableEntry;
    }

    void map_physical(PageTablePlan const& plan, Table root) {
        Table giant = nullptr;
        for (std::uint64_t base = 0; base < plan.physical_limit; base += kGiantPageBytes) {
            std::uint64_t const slot = base / kSlotBytes;
            if (base % kSlotBytes == 0) {
                giant = new_table();
                root[slot] = root[kDirectSlot + slot] = entry_for(giant);
            }
            std::uint64_t& entry = giant[base / kGiantPageBytes % kEntries];
            if (plan.giant_pages) {
                entry = base | kTableEntry | kPageSize;
                continue;
            }
            Table const large = new_table();
            entry = entry_for(large);
            for (std::uint64_t i = 0; i < kEntries; i++)
                large[i] = (base + i * kLargePageBytes) | kTableEntry | kPageSize;
        }
    }

    // 4 KiB pages: a stray access past the image's end must not reach a neighbour.
    void map_image(PageTablePlan const& plan, Table root) {
        Table const giant = new_table();
        Table const large = new_table();
        root[kImageSlot] = entry_for(giant);
        giant[kImageGiantSlot] = entry_for(large);
        Table small = nullptr;
        for (std::uint64_t page = 0; page < plan.image_bytes / kPageBytes; page++) {
            if (page % kEntries == 0) {
                small = new_table();
                large[page / kEntries] = entry_for(small);
            }
            small[page % kEntries] = (plan.image_base + page * kPageBytes) | kTableEntry;
        }
    }

  private:
    std::byte* next_;
};
} // namespace

std::uint64_t physical_limit_for(std::uint64_t end_of_ram) {
    return divide_up(std::max<std::uint64_t>(end_of_ram, 4ull << 30), kGiantPageBytes) * kGiantPageBytes;
}

std::size_t page_table_pages(PageTablePlan const& plan) {
    if (!valid(plan)) return 0;
    std::uint64_t const root = 1;
    std::uint64_t const physical = divide_up(plan.physical_limit, kSlotBytes) +
                                   (plan.giant_pages ? 0 : plan.physical_limit / kGiantPageBytes);
    std::uint64_t const image = 2 + divide_up(plan.image_bytes, kLargePageBytes);
    return root + physical + image;
}

std::uint64_t build_page_tables(PageTablePlan const& plan, std::span<std::byte> arena) {
    std::size_t const pages = page_table_pages(plan);
    if (pages == 0 || arena.size() / kPageBytes < pages) return 0;
    Builder builder{arena};
    Table const root = builder.new_table();
    builder.map_physical(plan, root);
    builder.map_image(plan, root);
    return reinterpret_cast<std::uint64_t>(root);
}
} // namespace ballast::loader
