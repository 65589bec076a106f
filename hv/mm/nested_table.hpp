// SPDX-License-Identifier: Apache-2.0
// Four-level second-level tables in a format that is data. The only walker there is, for EPT and NPT alike.
//
//   root (3) ─ 512 GiB ─► table (2) ─ 1 GiB ─► table (1) ─ 2 MiB ─► table (0) ─ 4 KiB
//                            └ leaf 1 GiB         └ leaf 2 MiB         └ leaf
//
// An entry that points to a table carries in ten bits that the processor ignores how many entries of that
// table are used: a table is freed with its last entry, and a full one may be joined, without a scan.
#pragma once
#include "hv/arch/paging.hpp"
#include "hv/core/nested_map.hpp"
#include "hv/core/virt_backend.hpp"
#include "hv/mm/nested_format.hpp"
#include "hv/mm/page_fill.hpp"
#include <bit>
#include <new>

namespace hv::mm {
/// Writes one entry so that the processor sees it whole. Tests pass a store that records.
struct PlainStore {
    static void store(u64& entry, u64 value) { __atomic_store_n(&entry, value, __ATOMIC_RELEASE); }
};

/// Single-owner: calls come from the CPU that runs the partition's one virtual processor, between its runs. A
/// table is linked only when complete and unlinked before it is freed, so an interrupted change never shows a
/// wrong translation; freed tables may linger in paging-structure caches until the generation is honoured.
template <class Store = PlainStore>
class NestedTable final : public NestedMap {
  public:
    /// Takes the root frame; valid() tells whether there was one. @p frames must outlive the table and map
    /// RAM linearly.
    NestedTable(NestedFormat const& format, HostFrames& frames) : format_{format}, frames_{frames} {
        root_ = static_cast<u64*>(frames.allocate());
        if (root_ != nullptr) {
            root_address_ = frames.physical(root_);
            distance_ = reinterpret_cast<u64>(root_) - root_address_.raw;
            counts_.table_frames = 1;
        }
    }
    [[gnu::cold]] ~NestedTable() override;
    NestedTable(NestedTable const&) = delete;
    NestedTable& operator=(NestedTable const&) = delete;

    bool valid() const { return root_ != nullptr; }
    Hpa root() const override { return root_address_; }
    Result<void, NestedError> map(Gpa, Hpa, u64 bytes, Access) override;
    Result<void, NestedError> unmap(Gpa gpa, u64 bytes) override {
        return take(gpa, bytes, nullptr, nullptr);
    }
    Result<void, NestedError> take(Gpa, u64 bytes, Visitor removed, void* context) override;
    /// Where a table of 4 KiB leaves is, it becomes a 2 MiB leaf; where a 2 MiB leaf is, its table becomes a
    /// 1 GiB leaf. One level a call.
    bool try_join(Gpa) override;
    /// @p to_bytes 2 MiB or 4 KiB. A leaf that is already as small is left alone.
    [[gnu::cold]] Result<void, NestedError> split(Gpa, u64 to_bytes) override;
    [[gnu::cold]] Result<void, NestedError> guard(Gpa page, Access allowed) override;
    [[gnu::cold]] bool unguard(Gpa page) override;
    Result<NestedLeaf, NestedError> lookup(Gpa) const override;
    [[gnu::cold]] void for_each(Visitor, void* context) const override;
    [[gnu::cold]] void for_each_table(FrameVisitor, void* context) const override;
    NestedCounts const& counts() const override { return counts_; }
    u64 generation() const override { return generation_; }

  private:
    static constexpr unsigned kTop = paging::kTopLevel;
    static constexpr u64 kLimit = 1ull << 48; ///< guest-physical addresses that four levels reach
    static constexpr u64 kCountOne = NestedFormat::kCountMask & (0 - NestedFormat::kCountMask);
    static constexpr unsigned kSpareTables = 4;
    static_assert(std::popcount(NestedFormat::kCountMask) == 10); // 0 … 512

    /// The entries passed on the way to a leaf or a hole: entry[level] … entry[kTop].
    struct Walk {
        u64* entry[kTop + 1];
        unsigned level; ///< of the leaf or the entry that is not present
        bool mapped() const { return NestedFormat::present(*entry[level]); }
    };
    static unsigned level_of(u64 bytes) {
        HV_ASSERT(bytes == kPageBytes || bytes == kLargePageBytes || bytes == kHugePageBytes);
        return bytes == kPageBytes ? 0 : bytes == kLargePageBytes ? 1 : 2;
    }
    static bool in_reach(Gpa gpa, u64 bytes) { return gpa.raw < kLimit && bytes <= kLimit - gpa.raw; }
    NestedLeaf leaf_of(Gpa gpa, u64 entry, u64 bytes) const {
        return {gpa,
                NestedFormat::address(entry),
                bytes,
                format_.access(entry),
                format_.accessed(entry),
                format_.dirty(entry),
                NestedFormat::guarded(entry)};
    }
    static u64 used(u64 entry) { return (entry & NestedFormat::kCountMask) / kCountOne; }
    u64* table_at(u64 entry) const {
        return reinterpret_cast<u64*>(NestedFormat::address(entry).raw + distance_);
    }
    u64& leaf_count(unsigned level) {
        return level == 0 ? counts_.leaves_4k : level == 1 ? counts_.leaves_2m : counts_.leaves_1g;
    }
    Walk walk(Gpa gpa, unsigned stop_level = 0) const;
    Result<void, NestedError> map_with_new_tables(Walk const&, Gpa, u64 leaf, unsigned level);
    bool reserve_tables(unsigned count);
    [[gnu::cold]] void drop_reserved();
    u64* new_table();
    void free_table(u64* table);
    [[gnu::cold]] void free_with_all_below(u64* table, unsigned level);
    unsigned tables_to_split(Gpa at) const;
    bool prepare_edges(Gpa begin, Gpa end);
    [[gnu::cold]] void split_leaf(Walk const&);
    [[gnu::cold]] void split_until_aligned(Gpa at);
    void entries_gone(Walk const&, unsigned level, u64 count);
    u64 take_some(Gpa at, u64 end, Visitor removed, void* context);
    template <class F>
    void visit(F&& on_entry) const;

    NestedFormat const format_;
    HostFrames& frames_;
    u64* root_ = nullptr;
    Hpa root_address_;
    u64 distance_ = 0; ///< pointer − physical address
    u64* spare_[kSpareTables] = {};
    unsigned spares_ = 0;
    NestedCounts counts_;
    u64 generation_ = 1;
};

/// Builds a table object and its root, each in a frame of @p frames (what NestedMap objects are made of needs
/// no heap). Null when there are not enough frames.
NestedMap* create_nested_table(NestedFormat const& format, HostFrames& frames);
/// Ends what create_nested_table() built, if anything; its tables go back to where they came from, its
/// leaves' frames stay their owner's.
void destroy_nested_table(NestedMap* map, HostFrames& frames);

extern template class NestedTable<>;
} // namespace hv::mm
