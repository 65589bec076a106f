// SPDX-License-Identifier: Apache-2.0
// The hypervisor's page tables. Rights are decided in the leaf alone: table entries allow everything, so a
// leaf says what it says (SDM vol 3A, "Determination of Access Rights").
#include "hv/mm/host_page_table.hpp"

namespace hv::mm {
namespace {
using paging::entry_bytes;
using paging::entry_index;
using paging::kTopLevel;

constexpr u64 leaf_bits(HostAccess access, HostCache cache, unsigned level) {
    bool const uncached = cache == HostCache::Uncached;
    return paging::Present::of(1) | paging::Write::of(access == HostAccess::ReadWrite) |
           paging::WriteThrough::of(uncached) | paging::CacheDisable::of(uncached) |
           paging::Large::of(level != 0) | paging::NoExecute::of(access != HostAccess::ReadExecute);
}
constexpr u64 kTableBits = paging::Present::of(1) | paging::Write::of(1);
static_assert(leaf_bits(HostAccess::ReadWrite, HostCache::WriteBack, 0) == 0x8000'0000'0000'0003);
static_assert(leaf_bits(HostAccess::ReadExecute, HostCache::WriteBack, 1) == 0x81);

constexpr bool present(u64 entry) {
    return paging::Present::get(entry) != 0;
}
constexpr bool is_leaf(u64 entry, unsigned level) {
    return level == 0 || (level != kTopLevel && paging::Large::get(entry) != 0);
}
} // namespace

HostPageTable::HostPageTable(HostFrames& frames, bool huge_pages)
    : frames_{frames}, root_{static_cast<u64*>(frames.allocate())}, huge_pages_{huge_pages} {
    table_frames_ = root_ != nullptr;
}

/// The leaf of @p hva, or the entry that is not present on the way to it.
HostPageTable::Slot HostPageTable::find(Hva hva) const {
    u64* table = root_;
    for (unsigned level = kTopLevel;; --level) {
        u64* const entry = &table[entry_index(hva.raw, level)];
        if (!present(*entry) || is_leaf(*entry, level)) {
            return {entry, level};
        }
        table = table_at(*entry);
    }
}

/// The entry of @p hva at @p level, with the tables above it made; null without frames.
u64* HostPageTable::descend(Hva hva, unsigned level) {
    u64* table = root_;
    for (unsigned l = kTopLevel; l > level; --l) {
        u64& entry = table[entry_index(hva.raw, l)];
        if (!present(entry)) {
            void* const below = frames_.allocate();
            if (below == nullptr) {
                return nullptr;
            }
            ++table_frames_;
            __atomic_store_n(&entry, frames_.physical(below).raw | kTableBits, __ATOMIC_RELEASE);
        }
        table = table_at(entry);
    }
    return &table[entry_index(hva.raw, level)];
}

/// A range that is wholly mapped, or wholly not, and lies in one half of the address space.
Result<void, HostMapError> HostPageTable::check(Hva hva, u64 bytes, bool mapped) const {
    u64 const last = hva.raw + bytes - 1;
    if (bytes == 0 || !hva.aligned(kPageBytes) || bytes % kPageBytes != 0 || last < hva.raw ||
        !paging::canonical(hva.raw) || !paging::canonical(last) || (hva.raw ^ last) >> 63 != 0) {
        return Err{HostMapError::BadAddress};
    }
    for (u64 at = hva.raw; at - hva.raw < bytes;) {
        Slot const slot = find({at});
        if (present(*slot.entry) != mapped) {
            return Err{mapped ? HostMapError::NotMapped : HostMapError::AlreadyMapped};
        }
        u64 const next = align_down(at, entry_bytes(slot.level)) + entry_bytes(slot.level);
        if (next <= at) { // the end of the address space
            break;
        }
        at = next;
    }
    return {};
}

Result<void, HostMapError> HostPageTable::map(Hva hva, Hpa hpa, u64 bytes, HostAccess access,
                                              HostCache cache) {
    if (!hpa.aligned(kPageBytes) || hpa.raw >= 1ull << 52 || bytes > (1ull << 52) - hpa.raw) {
        return Err{HostMapError::BadAddress};
    }
    HV_TRY(check(hva, bytes, false));
    while (bytes != 0) {
        unsigned level = huge_pages_ ? 2 : 1;
        u64* entry = nullptr;
        for (;; --level) {
            u64 const page = entry_bytes(level);
            if (level != 0 && (!hva.aligned(page) || !hpa.aligned(page) || bytes < page)) {
                continue;
            }
            entry = descend(hva, level);
            if (entry == nullptr) {
                return Err{HostMapError::OutOfFrames};
            }
            if (!present(*entry)) {
                break;
            } // else a table that guard pages emptied: fill it instead
        }
        __atomic_store_n(entry, hpa.raw | leaf_bits(access, cache, level), __ATOMIC_RELEASE);
        hva = hva + entry_bytes(level);
        hpa = hpa + entry_bytes(level);
        bytes -= entry_bytes(level);
    }
    return {};
}

/// Replaces a large leaf by a table of the next smaller ones that translates the same.
bool HostPageTable::split(Slot slot) {
    auto* const table = static_cast<u64*>(frames_.allocate());
    if (table == nullptr) {
        return false;
    }
    ++table_frames_;
    unsigned const below = slot.level - 1;
    u64 const first = below == 0 ? *slot.entry & ~paging::Large::mask : *slot.entry;
    for (unsigned i = 0; i < paging::kEntries; ++i) {
        table[i] = first + i * entry_bytes(below);
    }
    __atomic_store_n(slot.entry, frames_.physical(table).raw | kTableBits, __ATOMIC_RELEASE);
    return true;
}

Result<void, HostMapError> HostPageTable::unmap(Hva hva, u64 bytes) {
    HV_TRY(check(hva, bytes, true));
    // Splitting shows nobody anything, so both ends are cut before the first page goes.
    u64 const end = hva.raw + bytes;
    for (u64 const edge : {hva.raw, end}) {
        for (Slot slot = find({edge}); present(*slot.entry) && edge % entry_bytes(slot.level) != 0;
             slot = find({edge})) {
            if (!split(slot)) {
                return Err{HostMapError::OutOfFrames};
            }
        }
    }
    for (u64 at = hva.raw; at != end;) {
        Slot const slot = find({at});
        __atomic_store_n(slot.entry, 0, __ATOMIC_RELEASE);
        at += entry_bytes(slot.level);
    }
    return {};
}

Result<HostLeaf, HostMapError> HostPageTable::lookup(Hva hva) const {
    if (!paging::canonical(hva.raw)) {
        return Err{HostMapError::BadAddress};
    }
    Slot const slot = find(hva);
    u64 const entry = *slot.entry;
    if (!present(entry)) {
        return Err{HostMapError::NotMapped};
    }
    HostAccess const access = paging::Write::get(entry) != 0       ? HostAccess::ReadWrite
                              : paging::NoExecute::get(entry) != 0 ? HostAccess::Read
                                                                   : HostAccess::ReadExecute;
    u64 const bytes = entry_bytes(slot.level);
    return HostLeaf{Hva{align_down(hva.raw, bytes)}, Hpa{entry & paging::Address::mask & ~(bytes - 1)}, bytes,
                    access,
                    paging::CacheDisable::get(entry) != 0 ? HostCache::Uncached : HostCache::WriteBack};
}
} // namespace hv::mm
