// SPDX-License-Identifier: Apache-2.0
// The table is small and changes rarely (a few lists a device), so searches are linear.
#include "hv/vmbus/gpadl_table.hpp"
#include "hv/vmbus/vmbus_wire.hpp"
#include <algorithm>
#include <cstring>

namespace hv::vmbus {
GpadlTable::Entry* GpadlTable::find(u32 gpadl) {
    auto const it =
        std::ranges::find_if(entries_, [gpadl](Entry const& e) { return e.relid != 0 && e.gpadl == gpadl; });
    return it == entries_.end() ? nullptr : &*it;
}

GpadlStatus GpadlTable::begin(Header const& header, std::span<u8 const> pfns) {
    // One range, and its byte count and the number of pages agree.
    if (header.relid == 0 || header.range_count != 1 || header.range_bytes <= kRangeHeaderBytes ||
        (header.range_bytes - kRangeHeaderBytes) % sizeof(u64) != 0 || header.byte_offset >= kPageBytes ||
        header.byte_count == 0) {
        return GpadlStatus::Malformed;
    }
    u32 const count = static_cast<u32>((header.range_bytes - kRangeHeaderBytes) / sizeof(u64));
    u64 const bytes = align_up(u64{header.byte_offset} + header.byte_count, kPageBytes);
    if (bytes != u64{count} * kPageBytes) return GpadlStatus::Malformed;
    if (find(header.gpadl) != nullptr) return GpadlStatus::Duplicate;

    auto const of_channel = std::count_if(entries_.begin(), entries_.end(),
                                          [&](Entry const& e) { return e.relid == header.relid; });
    auto const entry = std::ranges::find_if(entries_, [](Entry const& e) { return e.relid == 0; });
    u32 first = 0;
    if (entry == entries_.end() || static_cast<usize>(of_channel) >= kMaxPerChannel ||
        !allocate(count, first)) {
        return GpadlStatus::NoRoom;
    }
    *entry = {header.relid, header.gpadl, first, count, 0};
    return fill(*entry, pfns);
}

GpadlStatus GpadlTable::append(u32 gpadl, std::span<u8 const> pfns) {
    Entry* const entry = find(gpadl);
    if (entry == nullptr || entry->filled == entry->count) return GpadlStatus::Unknown;
    return fill(*entry, pfns);
}

GpadlStatus GpadlTable::fill(Entry& entry, std::span<u8 const> pfns) {
    for (; pfns.size() >= sizeof(u64) && entry.filled < entry.count; pfns = pfns.subspan(sizeof(u64))) {
        u64 pfn;
        std::memcpy(&pfn, pfns.data(), sizeof pfn);
        if (pfn > ~u32{0}) {
            entry = {};
            return GpadlStatus::Malformed;
        }
        pool_[entry.first + entry.filled++] = static_cast<u32>(pfn);
    }
    return entry.filled == entry.count ? GpadlStatus::Created : GpadlStatus::Incomplete;
}

/// First fit: a free run starts at 0 or where a list ends.
bool GpadlTable::allocate(u32 count, u32& first) const {
    auto const fits = [&](u32 start) {
        return start + count <= kPoolPages && std::ranges::none_of(entries_, [&](Entry const& e) {
                   return e.relid != 0 && start < e.first + e.count && e.first < start + count;
               });
    };
    bool found = fits(0);
    u32 best = 0;
    for (Entry const& e : entries_) {
        u32 const start = e.first + e.count;
        if (e.relid != 0 && (!found || start < best) && fits(start)) {
            found = true;
            best = start;
        }
    }
    first = best;
    return found;
}

u32 GpadlTable::owner(u32 gpadl) const {
    Entry const* const entry = find(gpadl);
    return entry == nullptr ? 0 : entry->relid;
}

std::span<u32 const> GpadlTable::pages(u32 relid, u32 gpadl) const {
    Entry const* const entry = find(gpadl);
    if (entry == nullptr || entry->relid != relid || entry->filled != entry->count) return {};
    return std::span{pool_}.subspan(entry->first, entry->count);
}

bool GpadlTable::remove(u32 relid, u32 gpadl) {
    Entry* const entry = find(gpadl);
    if (entry == nullptr || entry->relid != relid) return false;
    *entry = {};
    return true;
}

void GpadlTable::remove_all(u32 relid) {
    for (Entry& entry : entries_) {
        if (entry.relid == relid) entry = {};
    }
}

void GpadlTable::clear() {
    entries_.fill({});
}

usize GpadlTable::used_pages() const {
    usize pages = 0;
    for (Entry const& entry : entries_)
        pages += entry.count;
    return pages;
}
} // namespace hv::vmbus
