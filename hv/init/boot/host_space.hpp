// SPDX-License-Identifier: Apache-2.0
// The hypervisor's own page tables: one address space for all CPUs, nothing both writable and executable, and
// only what is really there mapped.
//
//   kDirectMapBase      all RAM, rw- (the image's own code and constants: r--)      never executable
//   kStackArea          stacks between guard pages                                  rw-
//   kDeviceArea         device registers, uncached                                  rw-
//   kImageBase          hv.elf: text r-x, rodata r--, data rw-
#pragma once
#include "hv/arch/paging.hpp"
#include "hv/core/virt_backend.hpp"

namespace hv::init {
inline constexpr u64 kDeviceArea = 0xffff'd000'0000'0000;

enum class Rights : u8 { Read, ReadWrite, ReadExecute };
enum class Caching : u8 { WriteBack, Uncached };
enum class SpaceError : u8 {
    OutOfFrames,
    AlreadyMapped, ///< part of the range is; what came before it stays mapped
    Misaligned,    ///< an address or the size is no multiple of 4 KiB, or not canonical
};

class HostSpace {
  public:
    /// @param frames  where tables come from; must outlive this
    /// @param huge_pages  the processor has 1 GiB pages
    constexpr HostSpace(HostFrames& frames, bool huge_pages) : frames_{frames}, huge_pages_{huge_pages} {}

    /// Maps [virt, virt + bytes) to [phys, …) with the largest pages that alignment allows. Not locked:
    /// start-up only. A new mapping needs no TLB flush.
    Result<void, SpaceError> map(Hva virt, Hpa phys, u64 bytes, Rights rights,
                                 Caching caching = Caching::WriteBack);
    /// The entry that maps @p virt and the level it stands at, or an entry without Present.
    struct Leaf {
        u64 entry;
        unsigned level;
    };
    Leaf find(Hva virt) const;
    /// For CR3. Null (raw 0) before the first map().
    Hpa root() const { return root_; }
    /// Copies the root's upper half to another table of 512 entries: a space that shares all of ours.
    void copy_upper_half(u64* to) const;

  private:
    Result<void, SpaceError> map_one(u64 virt, u64 entry, unsigned level);
    u64* table(u64 entry) const {
        return static_cast<u64*>(frames_.pointer(Hpa{entry & paging::Address::mask}));
    }

    HostFrames& frames_;
    bool huge_pages_;
    Hpa root_{};
};
} // namespace hv::init
