// SPDX-License-Identifier: Apache-2.0
// Member functions of NestedTable. Included by nested_table.cpp and by tests that bring a store of their own.
#pragma once
#include "hv/mm/nested_table.hpp"
#include <algorithm>

namespace hv::mm {
template <class Store>
NestedTable<Store>::~NestedTable() {
    if (root_ != nullptr) {
        free_with_all_below(root_, kTop);
    }
}

template <class Store>
void NestedTable<Store>::free_with_all_below(u64* table, unsigned level) {
    for (unsigned i = 0; level != 0 && i < paging::kEntries; ++i) {
        if (NestedFormat::present(table[i]) && !NestedFormat::is_leaf(table[i], level)) {
            free_with_all_below(table_at(table[i]), level - 1);
        }
    }
    frames_.free(table);
}

/// Down to the entry that is a leaf, is not present, or lies at @p stop_level.
template <class Store>
auto NestedTable<Store>::walk(Gpa gpa, unsigned stop_level) const -> Walk {
    Walk w;
    u64* table = root_;
    for (unsigned level = kTop;; --level) {
        u64* const entry = &table[paging::entry_index(gpa.raw, level)];
        w.entry[level] = entry;
        w.level = level;
        u64 const value = *entry;
        if (level <= stop_level || !NestedFormat::present(value) || NestedFormat::is_leaf(value, level)) {
            return w;
        }
        table = table_at(value);
    }
}

template <class Store>
Result<void, NestedError> NestedTable<Store>::map(Gpa gpa, Hpa hpa, u64 bytes, Access access) {
    unsigned const level = level_of(bytes);
    HV_ASSERT(gpa.aligned(bytes) && hpa.aligned(bytes) && in_reach(gpa, bytes) && access != Access::None);
    Walk const w = walk(gpa, level);
    if (w.mapped()) {
        return Err{
            NestedError::AlreadyMapped}; // a leaf above, the leaf itself, or a table (never empty) below
    }
    u64 const leaf = format_.leaf(hpa, level, access);
    if (w.level != level) {
        return map_with_new_tables(w, gpa, leaf, level);
    }
    Store::store(*w.entry[level], leaf);
    Store::store(*w.entry[level + 1], *w.entry[level + 1] + kCountOne);
    ++leaf_count(level);
    return {};
}

/// Builds the missing tables from the leaf upwards and links them with one write.
template <class Store>
Result<void, NestedError> NestedTable<Store>::map_with_new_tables(Walk const& w, Gpa gpa, u64 leaf,
                                                                  unsigned level) {
    if (!reserve_tables(w.level - level)) {
        return Err{NestedError::OutOfFrames};
    }
    u64 entry = leaf;
    for (unsigned l = level; l < w.level; ++l) {
        u64* const table = new_table();
        Store::store(table[paging::entry_index(gpa.raw, l)], entry);
        entry = format_.table(Hpa{reinterpret_cast<u64>(table) - distance_}) + kCountOne;
    }
    Store::store(*w.entry[w.level], entry);
    if (w.level != kTop) {
        Store::store(*w.entry[w.level + 1], *w.entry[w.level + 1] + kCountOne);
    }
    ++leaf_count(level);
    return {};
}

/// Makes sure that the next @p count calls of new_table() cannot fail.
template <class Store>
bool NestedTable<Store>::reserve_tables(unsigned count) {
    HV_ASSERT(count <= kSpareTables);
    while (spares_ < count) {
        auto* const table = static_cast<u64*>(frames_.allocate());
        if (table == nullptr) {
            drop_reserved();
            return false;
        }
        spare_[spares_++] = table;
    }
    return true;
}

template <class Store>
void NestedTable<Store>::drop_reserved() {
    while (spares_ != 0) {
        frames_.free(spare_[--spares_]);
    }
}

template <class Store>
u64* NestedTable<Store>::new_table() {
    HV_ASSERT(spares_ != 0);
    u64* const table = spare_[--spares_];
    HV_ASSERT(reinterpret_cast<u64>(table) - distance_ == frames_.physical(table).raw);
    ++counts_.table_frames;
    return table;
}

template <class Store>
void NestedTable<Store>::free_table(u64* table) {
    --counts_.table_frames;
    frames_.free(table);
}

/// How many tables it takes until no leaf reaches across @p at.
template <class Store>
unsigned NestedTable<Store>::tables_to_split(Gpa at) const {
    if (at.raw >= kLimit) {
        return 0;
    }
    Walk const w = walk(at);
    if (!w.mapped() || at.aligned(paging::entry_bytes(w.level))) {
        return 0;
    }
    return w.level == 2 && !at.aligned(kLargePageBytes) ? 2 : 1;
}

/// Splits the leaves that reach across either end. False without enough frames: then nothing changed.
template <class Store>
bool NestedTable<Store>::prepare_edges(Gpa begin, Gpa end) {
    if (!reserve_tables(tables_to_split(begin))) {
        return false;
    }
    // Both ends may lie in one leaf: then the second split finds part of its work done. Taking a table too
    // many would refuse what can be done, so the first is subtracted exactly.
    unsigned const first = spares_, second = tables_to_split(end);
    unsigned shared = 0;
    if (first != 0 && second != 0) {
        unsigned const level = walk(begin).level;
        u64 const bytes = paging::entry_bytes(level);
        if (align_down(begin.raw, bytes) == align_down(end.raw, bytes)) {
            bool const same_block = begin.large_page() == end.large_page();
            shared = level == 2 && same_block && first == 2 && second == 2 ? 2 : 1;
        }
    }
    if (!reserve_tables(first + second - shared)) {
        return false;
    }
    split_until_aligned(begin);
    split_until_aligned(end);
    HV_ASSERT(spares_ == 0);
    return true;
}

template <class Store>
void NestedTable<Store>::split_until_aligned(Gpa at) {
    while (tables_to_split(at) != 0) {
        split_leaf(walk(at));
    }
}

/// Replaces a large leaf by a table of 512 leaves that translate the same; one write makes the change.
template <class Store>
void NestedTable<Store>::split_leaf(Walk const& w) {
    u64 const leaf = *w.entry[w.level];
    unsigned const below = w.level - 1;
    u64* const table = new_table();
    u64 const first = format_.leaf(NestedFormat::address(leaf), below, format_.access(leaf)) |
                      (leaf & format_.flags_mask());
    for (unsigned i = 0; i < paging::kEntries; ++i) {
        Store::store(table[i], first + i * paging::entry_bytes(below));
    }
    Store::store(*w.entry[w.level],
                 format_.table(Hpa{reinterpret_cast<u64>(table) - distance_}) + paging::kEntries * kCountOne);
    --leaf_count(w.level);
    leaf_count(below) += paging::kEntries;
    ++counts_.splits;
}

template <class Store>
Result<void, NestedError> NestedTable<Store>::split(Gpa gpa, u64 to_bytes) {
    unsigned const level = level_of(to_bytes);
    if (!in_reach(gpa, 1) || !walk(gpa).mapped()) {
        return Err{NestedError::NotMapped};
    }
    Walk w = walk(gpa);
    if (w.level <= level) {
        return {};
    }
    if (!reserve_tables(w.level - level)) {
        return Err{NestedError::OutOfFrames};
    }
    for (; w.level > level; w = walk(gpa)) {
        split_leaf(w);
    }
    return {};
}

/// @p count entries of the table that holds w.entry[level] have been cleared: frees what became empty.
template <class Store>
void NestedTable<Store>::entries_gone(Walk const& w, unsigned level, u64 count) {
    while (level != kTop) {
        u64& parent = *w.entry[level + 1];
        if (used(parent) != count) {
            HV_ASSERT(used(parent) > count);
            Store::store(parent, parent - count * kCountOne);
            return;
        }
        u64* const table = table_at(parent);
        Store::store(parent, 0);
        free_table(table);
        count = 1;
        ++level;
    }
}

/// Removes what one table at the walk's end holds of [at, end).
/// @return the address to go on at
template <class Store>
u64 NestedTable<Store>::take_some(Gpa at, u64 end, Visitor removed, void* context) {
    Walk const w = walk(at);
    unsigned const level = w.level;
    u64 const bytes = paging::entry_bytes(level);
    if (!w.mapped()) {
        u64 const next = align_down(at.raw, bytes) + bytes;
        return std::min(next, end);
    }
    HV_ASSERT(at.aligned(bytes) && at.raw + bytes <= end);
    u64* entry = w.entry[level];
    u64 gone = 0, next = at.raw;
    u64 const table_end = align_down(at.raw, bytes * paging::kEntries) + bytes * paging::kEntries;
    do {
        u64 const value = *entry;
        if (NestedFormat::present(value)) {
            if (!NestedFormat::is_leaf(value, level)) {
                break;
            }
            Store::store(*entry, 0);
            ++gone;
            if (removed != nullptr) {
                removed(context, leaf_of(Gpa{next}, value, bytes));
            }
        }
        ++entry;
        next += bytes;
    } while (next < table_end && next + bytes <= end);
    leaf_count(level) -= gone;
    ++generation_;
    entries_gone(w, level, gone);
    return next;
}

template <class Store>
Result<void, NestedError> NestedTable<Store>::take(Gpa gpa, u64 bytes, Visitor removed, void* context) {
    HV_ASSERT(gpa.aligned(kPageBytes) && bytes % kPageBytes == 0 && in_reach(gpa, bytes));
    if (bytes == 0) {
        return {};
    }
    if (!prepare_edges(gpa, gpa + bytes)) {
        return Err{NestedError::OutOfFrames};
    }
    u64 const end = gpa.raw + bytes;
    for (u64 at = gpa.raw; at < end;) {
        at = take_some(Gpa{at}, end, removed, context);
    }
    return {};
}

template <class Store>
bool NestedTable<Store>::try_join(Gpa gpa) {
    if (!in_reach(gpa, 1)) {
        return false;
    }
    Walk const w = walk(gpa);
    if (!w.mapped() || w.level >= 2) {
        return false;
    }
    unsigned const level = w.level;
    u64& parent = *w.entry[level + 1];
    if (used(parent) != paging::kEntries) {
        return false;
    }
    u64* const table = table_at(parent);
    u64 const first = table[0] & ~format_.flags_mask();
    u64 flags = 0;
    Hpa const start = NestedFormat::address(first);
    if (!NestedFormat::is_leaf(first, level) || !start.aligned(paging::entry_bytes(level + 1)) ||
        NestedFormat::guarded(first)) {
        return false;
    }
    for (unsigned i = 0; i < paging::kEntries; ++i) {
        if ((table[i] & ~format_.flags_mask()) != first + i * paging::entry_bytes(level)) {
            return false;
        }
        flags |= table[i] & format_.flags_mask();
    }
    Store::store(parent, format_.leaf(start, level + 1, format_.access(first)) | flags);
    free_table(table);
    leaf_count(level) -= paging::kEntries;
    ++leaf_count(level + 1);
    ++counts_.joins;
    ++generation_; // the processor may still hold a pointer to the freed table
    return true;
}

template <class Store>
Result<void, NestedError> NestedTable<Store>::guard(Gpa page, Access allowed) {
    HV_TRY(split(page, kPageBytes));
    u64& entry = *walk(page).entry[0];
    Access const rights = has(allowed, Access::R) ? allowed : Access::None;
    u8 const lost = static_cast<u8>(format_.access(entry)) & ~static_cast<u8>(rights);
    Store::store(entry, format_.guard(entry, rights));
    generation_ += lost != 0;
    return {};
}

template <class Store>
bool NestedTable<Store>::unguard(Gpa page) {
    if (!in_reach(page, 1)) {
        return false;
    }
    Walk const w = walk(page);
    u64& entry = *w.entry[w.level];
    if (w.level != 0 || !NestedFormat::guarded(entry)) {
        return false;
    }
    Store::store(entry, format_.unguard(entry));
    return true;
}

template <class Store>
Result<NestedLeaf, NestedError> NestedTable<Store>::lookup(Gpa gpa) const {
    if (!in_reach(gpa, 1)) {
        return Err{NestedError::NotMapped};
    }
    Walk const w = walk(gpa);
    u64 const value = *w.entry[w.level];
    if (!NestedFormat::present(value)) {
        return Err{NestedError::NotMapped};
    }
    u64 const bytes = paging::entry_bytes(w.level);
    return leaf_of(Gpa{align_down(gpa.raw, bytes)}, value, bytes);
}

/// Calls on_entry(guest address, entry, level) for every present entry, parents first.
template <class Store>
template <class F>
void NestedTable<Store>::visit(F&& on_entry) const {
    u64 const* table[kTop + 1];
    unsigned index[kTop + 1];
    unsigned level = kTop;
    table[kTop] = root_;
    index[kTop] = 0;
    u64 gpa = 0;
    for (;;) {
        if (index[level] == paging::kEntries) {
            if (level == kTop) {
                return;
            }
            gpa -= paging::kEntries * paging::entry_bytes(level);
            ++level;
            ++index[level];
            gpa += paging::entry_bytes(level);
            continue;
        }
        u64 const value = table[level][index[level]];
        if (NestedFormat::present(value)) {
            on_entry(Gpa{gpa}, value, level);
            if (!NestedFormat::is_leaf(value, level)) {
                --level;
                table[level] = table_at(value);
                index[level] = 0;
                continue;
            }
        }
        ++index[level];
        gpa += paging::entry_bytes(level);
    }
}

template <class Store>
void NestedTable<Store>::for_each(Visitor visitor, void* context) const {
    visit([&](Gpa gpa, u64 value, unsigned level) {
        if (NestedFormat::is_leaf(value, level)) {
            visitor(context, leaf_of(gpa, value, paging::entry_bytes(level)));
        }
    });
}

template <class Store>
void NestedTable<Store>::for_each_table(FrameVisitor visitor, void* context) const {
    visitor(context, root_address_);
    visit([&](Gpa, u64 value, unsigned level) {
        if (!NestedFormat::is_leaf(value, level)) {
            visitor(context, NestedFormat::address(value));
        }
    });
}
} // namespace hv::mm
