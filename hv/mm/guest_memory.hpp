// SPDX-License-Identifier: Apache-2.0
// One partition's guest-physical memory: which page is backed, ballooned or not yet added, the frames behind
// it, and their lazy mapping.
//
// Frames are the partition's from the moment they are granted, but mapped only when the guest touches them:
//
//   granted ──► run of a whole 2 MiB block ──touch──► zeroed, one 2 MiB leaf ──► 1 GiB leaf when all line up
//          └──► stash of single frames     ──touch──► zeroed, one 4 KiB leaf ──► 2 MiB leaf when all line up
//
// Always true: stash = Σ over blocks without a run of (backed − mapped) pages; so a touch never has to ask.
#pragma once
#include "hv/core/guest_access.hpp"
#include "hv/core/nested_map.hpp"
#include "hv/mm/guest_layout.hpp"
#include "hv/mm/kernel_heap.hpp"
#include "hv/mm/page_states.hpp"
#include "hv/mm/table_pool.hpp"
#include <algorithm>

namespace hv::mm {
struct GuestMemoryConfig {
    Owner owner = partition_owner(0);
    u64 startup_bytes = 0; ///< multiple of 4 KiB, ≥ 1 MiB
    u64 maximum_bytes = 0; ///< multiple of 4 KiB, ≥ startup
    bool numa_spanning = true;
    u32 near_node = kAnyNode; ///< that of its processor: preferred to the emptiest while it has room for the
                              ///< startup memory
    bool small_pages_only = false; ///< 4 KiB leaves only: for measuring and tests
};

/// Why a partition's memory cannot be had, with the numbers to tell the operator.
struct GuestMemoryRefusal {
    enum class Why : u8 { BadSizes, NotEnough, NoNodeFits, NoHostMemory } why;
    u32 node = kAnyNode;  ///< NoNodeFits: the emptiest node
    u64 needed_pages = 0; ///< 4 KiB
    u64 free_pages = 0;   ///< what guests may have: of the machine, or of that node
};

/// What happened at a touch.
enum class Touch : u8 {
    Mapped,     ///< run the guest again
    Guarded,    ///< mapped, and under a guard(): the debugger's turn if that denies the access
    Ballooned,  ///< it gave this page away: the caller's fault to inject, and it is counted here
    NotAdded,   ///< part of the hot-add window that it has not been given
    SmartPaged, ///< the pager's turn
    Hole,       ///< no RAM: a device or nothing
};

enum class RangeError : u8 {
    NotRam,      ///< not page-aligned, empty, or not wholly inside one area of RAM
    WrongState,  ///< a page is not in the state that this needs
    OutOfFrames, ///< the host cannot back it now
};

struct GuestMemoryCounters {
    u64 faults = 0;            ///< touches that mapped something
    u64 zeroed_pages = 0;      ///< 4 KiB pages zeroed for the guest
    u64 ballooned_touches = 0; ///< touches of pages that the guest had given away
    u64 compactions = 0;       ///< blocks copied together
    u64 dropped_guards = 0;    ///< guards that went with their page: ballooned, or the guest restarted
    u64 late_tables = 0; ///< table frames that had to be asked for after the fact: 0, or we counted wrong
};

/// Every member is called on the partition's own physical CPU, between two runs of its processor, or while it
/// does not run at all; none but touch() and GuestAccess is for the exit path, and those take no lock and
/// allocate nothing. Whoever runs the guest next honours NestedMap::generation() first.
class GuestMemory final : public GuestAccess {
  public:
    /// Takes the startup memory. All or nothing. Then: make a NestedMap out of table_frames(), attach() it.
    [[gnu::cold]] static Result<GuestMemory*, GuestMemoryRefusal> create(KernelHeap&, FrameAllocator&,
                                                                         GuestMemoryConfig const&);
    /// Ends it and returns the last frame. If a map was attached: after discard(), and the map is gone.
    [[gnu::cold]] static void destroy(KernelHeap&, GuestMemory*);

    /// Where the nested tables take their frames.
    HostFrames& table_frames() { return tables_; }
    [[gnu::cold]] void attach(NestedMap& empty_map);
    /// Unmaps all and gives every guest frame back to the machine; nothing is backed after it.
    void discard();

    /// A nested fault at @p gpa. Maps it if it is backed. Locks and allocates nothing shared. Guarded
    /// whatever the access was, so that first touches do not pay for the question: ask denies().
    Touch touch(Gpa gpa);
    /// The same with the question asked: Guarded only if the guard denies @p access.
    Touch touch(Gpa gpa, Access access) {
        Touch const found = touch(gpa);
        return found == Touch::Guarded && !denies(gpa, access) ? Touch::Mapped : found;
    }

    Result<void, GuestMemoryError> read(Gpa, std::span<u8> to) override;
    Result<void, GuestMemoryError> write(Gpa, std::span<u8 const> from) override;
    Result<u8*, GuestMemoryError> page(Gpa at) override;

    /// The guest gives away [gpa, gpa + pages): they are unmapped and their frames go back to the machine.
    /// Range and state are checked first: an error changes nothing. Needs no free memory.
    Result<void, RangeError> balloon_out(Gpa gpa, u64 pages);
    /// Backs ballooned pages again. Frames first: an error changes nothing.
    Result<void, RangeError> give_back(Gpa gpa, u64 pages);
    /// Backs pages of the hot-add window for the first time. As give_back().
    Result<void, RangeError> hot_add(Gpa gpa, u64 pages);
    /// Takes back what hot_add() backed and the guest refused: all of it must be backed still. It can be
    /// hot-added again.
    void withdraw(Gpa gpa, u64 pages);
    /// The guest restarts: contents are gone, the startup memory is backed, the rest is not. An error changes
    /// nothing (restart_shortage_pages() says how much is missing).
    Result<void, RangeError> reset_for_restart();
    u64 restart_shortage_pages() const;
    /// Gathers a wholly backed block that is mapped in pieces into one 2 MiB leaf, copying. For idle times.
    /// @return whether it is mapped large now.
    bool compact_block(Gpa block);
    /// Looks at the next blocks in turn, at most @p most, and tries compact_block() with the first that is
    /// mapped in pieces: a few instructions for each, and at most 2 MiB to copy.
    /// @return whether one more block is mapped large now.
    bool compact_some(u32 most);

    /// NotAdded also for what is no RAM.
    PageState state(Gpa) const;
    bool is_ram(Gpa at) const { return !GuestLayout::in_hole(at) && block_index(at) != kNoBlock; }
    GuestLayout const& layout() const { return layout_; }
    Owner owner() const { return owner_; }
    /// The node it is bound to, or kAnyNode.
    u32 node() const { return spanning_ ? kAnyNode : home_node_; }
    NestedMap const* map() const { return map_; }
    u64 startup_pages() const { return layout_.startup_pages(); }
    u64 backed_pages() const { return backed_pages_; }
    u64 ballooned_pages() const { return ballooned_pages_; }
    u64 mapped_large_pages() const { return large_blocks_ * kPagesPerLargePage; }
    u64 mapped_small_pages() const { return small_pages_; }
    GuestMemoryCounters const& counters() const { return counters_; }

    /// From now on the guest may do only @p allowed, from None to RWX, with the 4 KiB page of @p page, and
    /// touch() says Guarded when it tries more. Without R it may do nothing: hardware has no such right
    /// everywhere. The page is mapped first if need be, and is mapped by the page until unguard(). On a
    /// guarded page, whose rights may be changed as often as one likes, this is a walk and a write. The guard
    /// ends when the page is given away or the guest restarts (dropped_guards). GuestAccess is not held up.
    /// NotRam, Ballooned (or paged out), or OutOfFrames for a table: then nothing changed. Takes the
    /// allocator's lock: not for the exit path of a guest that nobody debugs.
    Result<void, GuestMemoryError> guard(Gpa page, Access allowed);
    /// Ends a guard; the block is mapped large again if it can be. Nothing happens where there is none.
    void unguard(Gpa page);
    /// What a guard lets the guest do with the page of @p at; RWX where there is none.
    Access guarded(Gpa at) const;
    bool is_guarded(Gpa at) const;
    /// Whether a guard is why @p access at @p at faulted. If not, the processor had an older translation in
    /// mind, as after widening, and the fault dropped it: run the guest again.
    bool denies(Gpa at, Access access) const {
        return (static_cast<u8>(access) & ~static_cast<u8>(guarded(at))) != 0;
    }

    // For the check.
    TablePool const& table_pool() const { return tables_; }
    u64 waiting_pages() const { return stash_.count(); }
    u32 block_count() const { return block_count_; }
    GuestBlock const& block(u32 index) const { return blocks_[index]; }
    BlockStates const& states(u32 index) const { return states_[index]; }
    /// The block that holds @p at, or null where there can be no RAM.
    GuestBlock const* find_block(Gpa at) const {
        u32 const index = block_index(at);
        return index == kNoBlock ? nullptr : &blocks_[index];
    }
    Gpa block_address(u32 index) const;
    template <class F>
    void for_each_waiting(F&& frame) const {
        stash_.for_each(frame);
    }

  private:
    template <class T, class... Args>
    friend T* make(KernelHeap&, Args&&...);
    template <class T>
    friend void mm::destroy(KernelHeap&, T*);

    static constexpr u32 kNoBlock = ~0u;
    static constexpr u64 kSpareTables = 4; ///< two ends of a range, each with two levels to split
    static constexpr u64 kSlackTables = 16;
    static constexpr u64 kMapFrames = 2; ///< the map's root and its object
    struct Area {
        u64 first = 0, bytes = 0; ///< guest-physical
        u32 first_block = 0;
    };
    /// The part of a range that lies in one block.
    struct Piece {
        u32 block;
        unsigned first, count; ///< pages
        bool whole() const { return count == kPagesPerLargePage; }
    };

    [[gnu::cold]] GuestMemory(FrameAllocator&, GuestMemoryConfig const&, u32 home_node);
    ~GuestMemory() override = default;
    [[gnu::cold]] bool make_arrays(KernelHeap&);
    template <class F>
    void for_each_piece(Gpa, u64 pages, F&& f) const;
    template <class F>
    void update(GuestBlock&, F&& change);
    u32 block_index(Gpa at) const;
    Result<void, RangeError> check(Gpa, u64 pages, PageState) const;
    Touch why_not_backed(Gpa, PageState);
    void map_run(Gpa, GuestBlock&);
    Touch map_single(Gpa, GuestBlock&);
    Touch already_mapped(Gpa, GuestBlock const&) const;
    Result<std::span<u8>, GuestMemoryError> window(Gpa);

    Result<Hpa, FrameError> get(unsigned order);
    bool get_singles(u64 pages, FrameStash& to);
    void drop_singles(FrameStash& from, u64 count);
    void drop_runs(FrameStash& runs);
    void push_pages(Hpa at, u64 pages, FrameStash& to);
    bool supply(Gpa, u64 pages);
    [[gnu::cold]] void unsupply(Gpa, u64 pages, u64 singles);
    Result<void, RangeError> back(Gpa, u64 pages, PageState from);
    [[gnu::cold]] bool swap_for_run(GuestBlock&);
    void release(Hpa, u64 pages);
    void take_and_release(Gpa, u64 bytes);
    void balloon_piece(Gpa, Piece const&);
    u16 guards_in(Gpa, Piece const&) const;
    u32 balloon_large(Gpa, u64 pages);
    void unmap_into(FrameStash& runs, FrameStash& singles);
    void assign_startup(FrameStash& runs, FrameStash& singles);
    u64 tables_needed() const;
    void settle_tables();
    static Hpa run_address(GuestBlock const& b) { return {u64{b.run} * kLargePageBytes}; }

    struct Window {
        Gpa gpa;
        u64 bytes = 0; ///< 0: none
        u8* host = nullptr;
        u64 generation = 0; ///< of the map, when this was so
    };

    FrameAllocator& frames_;
    NestedMap* map_ = nullptr;
    Window last_; ///< what window() found last
    GuestLayout layout_;
    Area areas_[3] = {}; ///< low, high, hot
    GuestBlock* blocks_ = nullptr;
    BlockStates* states_ = nullptr;
    u32 block_count_ = 0;
    Owner owner_;
    u32 home_node_;
    bool spanning_;
    bool small_only_;
    FrameStash stash_;
    TablePool tables_;
    u64 upper_tables_ = 0; ///< tables of levels 1 and 2 that the whole layout can need
    u64 backed_pages_ = 0;
    u64 ballooned_pages_ = 0;
    u64 small_pages_ = 0;          ///< mapped by 4 KiB leaves
    u64 large_blocks_ = 0;         ///< mapped by larger ones
    u64 blocks_with_table_ = 0;    ///< have a table of 4 KiB leaves
    u32 compact_next_ = 0;         ///< block that compact_some() looked at last
    u64 blocks_wanting_table_ = 0; ///< may need one at the next touch
    GuestMemoryCounters counters_;
};

template <class F>
void GuestMemory::update(GuestBlock& b, F&& change) {
    auto const count = [&](u64 sign) {
        backed_pages_ += sign * b.backed;
        ballooned_pages_ += sign * b.ballooned;
        small_pages_ += sign * b.mapped;
        large_blocks_ += sign * b.large;
        blocks_with_table_ += sign * (b.mapped != 0);
        blocks_wanting_table_ += sign * b.wants_table();
    };
    count(~0ull);
    change(b);
    count(1);
}

/// Calls f(piece, its address) for the part of a range in each block it meets. The range is in one area.
template <class F>
void GuestMemory::for_each_piece(Gpa at, u64 pages, F&& f) const {
    u32 block = block_index(at);
    while (pages != 0) {
        unsigned const first = at.pfn() % kPagesPerLargePage;
        unsigned const count = static_cast<unsigned>(std::min<u64>(pages, kPagesPerLargePage - first));
        f(Piece{block, first, count}, at);
        ++block;
        pages -= count;
        at = at + count * kPageBytes;
    }
}
} // namespace hv::mm
