// SPDX-License-Identifier: Apache-2.0
// Guest physical address descriptor lists: the guest's names for lists of its pages. Storage is fixed: a
// guest that wants more than a partition's share is refused.
#pragma once
#include "hv/base/types.hpp"
#include <array>
#include <span>

namespace hv::vmbus {
enum class GpadlStatus : u8 {
    Created,    ///< all page numbers have arrived
    Incomplete, ///< more bodies are to come
    Malformed,  ///< impossible counts, more than one range, page numbers beyond 16 TiB
    Duplicate,  ///< the handle is in use
    NoRoom,     ///< table or page pool exhausted
    Unknown,    ///< no such handle, or it is complete already
};

/// Tells nothing about whether the pages exist or are listed twice: every use goes through GuestAccess, which
/// knows, and no data of ours lives in them.
class GpadlTable {
  public:
    static constexpr usize kMaxGpadls = 64;
    static constexpr usize kMaxPerChannel = 8;
    static constexpr usize kPoolPages = 4096;

    struct Header {
        u32 relid, gpadl;
        u16 range_bytes, range_count;
        u32 byte_count, byte_offset;
    };

    /// Starts a list. @param pfns  unaligned little-endian u64 page numbers that came with the header; more
    /// than announced are ignored
    GpadlStatus begin(Header const& header, std::span<u8 const> pfns);
    /// Continues a list that begin() left Incomplete.
    GpadlStatus append(u32 gpadl, std::span<u8 const> pfns);
    /// Channel that owns an existing list (complete or not), 0 when there is none.
    u32 owner(u32 gpadl) const;
    /// Page frame numbers of a complete list; empty when absent, incomplete or another channel's. Valid until
    /// remove() of that list.
    std::span<u32 const> pages(u32 relid, u32 gpadl) const;
    /// @return false when there is no such list of this channel
    bool remove(u32 relid, u32 gpadl);
    void remove_all(u32 relid);
    void clear();
    usize used_pages() const;

  private:
    struct Entry {
        u32 relid = 0; ///< 0 = free
        u32 gpadl = 0;
        u32 first = 0, count = 0, filled = 0; ///< pages in the pool
    };
    Entry* find(u32 gpadl);
    Entry const* find(u32 gpadl) const { return const_cast<GpadlTable*>(this)->find(gpadl); }
    bool allocate(u32 count, u32& first) const;
    GpadlStatus fill(Entry& entry, std::span<u8 const> pfns);

    std::array<Entry, kMaxGpadls> entries_{};
    std::array<u32, kPoolPages> pool_{};
};
} // namespace hv::vmbus
