// SPDX-License-Identifier: Apache-2.0
// The partition's second-level address translation, format hidden. Implemented once, by
// hv/mm/nested_table.hpp over the EPT and NPT formats; backends instantiate it.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/base/result.hpp"
#include "hv/core/access.hpp"

namespace hv {
enum class NestedError : u8 {
    OutOfFrames,   ///< no frame for a table; nothing was changed
    AlreadyMapped, ///< the range holds a translation; nothing was changed
    NotMapped,
};

/// One leaf as found by lookup() or visited by for_each().
struct NestedLeaf {
    Gpa gpa;       ///< start of the leaf
    Hpa hpa;       ///< start of the frame(s)
    u64 bytes;     ///< 4 KiB, 2 MiB or 1 GiB
    Access access; ///< what the guest may do; None only where guarded
    bool accessed;
    bool dirty;
    bool guarded = false;
};

/// What the table is made of, kept by the map itself.
struct NestedCounts {
    u64 leaves_4k = 0, leaves_2m = 0, leaves_1g = 0;
    u64 table_frames = 0; ///< including the root
    u64 splits = 0, joins = 0;
};

class NestedMap {
  public:
    virtual ~NestedMap() = default;
    /// Physical address of the root table, and what else the hardware register wants is the backend's to add.
    virtual Hpa root() const = 0;
    /// Maps one leaf of @p bytes (4 KiB, 2 MiB, 1 GiB; both addresses aligned to it). All-or-nothing.
    virtual Result<void, NestedError> map(Gpa, Hpa, u64 bytes, Access) = 0;
    /// Removes every translation in [gpa, gpa + bytes), both 4 KiB multiples, splitting large leaves at the
    /// edges; what was not mapped is skipped. Tables that become empty are freed. Generation moves on.
    /// OutOfFrames when an edge cannot be split: then nothing changed.
    virtual Result<void, NestedError> unmap(Gpa, u64 bytes) = 0;
    /// Replaces the table of a 2 MiB region (or 1 GiB of 2 MiB leaves) by one large leaf when all its leaves
    /// are there, contiguous, aligned and alike, and none is guarded.
    /// @return whether it was joined.
    virtual bool try_join(Gpa large_page) = 0;
    /// Replaces the large leaf that holds @p gpa by a table of smaller ones.
    virtual Result<void, NestedError> split(Gpa gpa, u64 to_bytes) = 0;
    /// Marks the leaf of the 4 KiB page at @p page as guarded and lets the guest do only @p allowed with it,
    /// from None to RWX; without R it is None, because not every processor can have the others alone. A large
    /// leaf is split for it. For everything else here the leaf stays what it is, but try_join() leaves it
    /// alone. Cheap when it is guarded already. Generation moves on if rights were lost; a wider right needs
    /// no flush, for a fault drops the narrower translation it came from (SDM vol 3C, "Operations that
    /// Invalidate Cached Mappings"; APM vol 2, "TLB Management").
    /// NotMapped, or OutOfFrames when it cannot be split: then nothing changed.
    virtual Result<void, NestedError> guard(Gpa page, Access allowed) = 0;
    /// Ends that: RWX. Nothing happens where there is no guard. Joining is the caller's.
    /// @return whether there was one.
    virtual bool unguard(Gpa page) = 0;
    /// The leaf that translates @p gpa, or NotMapped.
    virtual Result<NestedLeaf, NestedError> lookup(Gpa gpa) const = 0;
    /// Visits every leaf in ascending order. The visitor must not change the map.
    using Visitor = void (*)(void* context, NestedLeaf const&);
    virtual void for_each(Visitor, void* context) const = 0;
    /// unmap(), and tells of each leaf that was removed (after it was), in ascending order: its frames are
    /// the caller's again. The visitor must not change the map.
    virtual Result<void, NestedError> take(Gpa, u64 bytes, Visitor removed, void* context) = 0;
    /// Visits the physical address of every frame the tables themselves occupy.
    using FrameVisitor = void (*)(void* context, Hpa table_frame);
    virtual void for_each_table(FrameVisitor, void* context) const = 0;
    virtual NestedCounts const& counts() const = 0;
    /// Moves on whenever a translation was removed or narrowed; a processor that last ran under an older
    /// value must flush before it runs again.
    virtual u64 generation() const = 0;
};
} // namespace hv
