// SPDX-License-Identifier: Apache-2.0
// Builds the hypervisor's own address space: what may be written is not executed, and nothing is mapped that
// nobody asked for.
#pragma once
#include "hv/arch/paging.hpp"
#include "hv/base/result.hpp"
#include "hv/core/virt_backend.hpp"

namespace hv::mm {
/// There is deliberately no "write and execute".
enum class HostAccess : u8 { Read, ReadWrite, ReadExecute };
/// Memory types that PAT entries 0 and 3 have at reset (SDM vol 3A, "Page Attribute Table"), so that nothing
/// depends on the PAT having been programmed.
enum class HostCache : u8 { WriteBack, Uncached };

enum class HostMapError : u8 {
    BadAddress,    ///< not page-aligned, not canonical, or the range leaves its half of the address space
    AlreadyMapped, ///< part of the range is mapped; nothing was changed
    NotMapped,     ///< unmap: part of the range is not mapped; nothing was changed
    OutOfFrames,   ///< map: the first pages of the range may be mapped. Start-up ends here
};

struct HostLeaf {
    Hva hva;
    Hpa hpa;
    u64 bytes;
    HostAccess access;
    HostCache cache;
};

/// Four-level tables in frames of @p frames. Set-up only: single-threaded, and whoever runs on the tables
/// already flushes what it changes. The tables live as long as the machine.
class HostPageTable {
  public:
    /// @param huge_pages  whether the CPU has 1 GiB pages (CPUID 8000_0001h EDX bit 26)
    HostPageTable(HostFrames& frames, bool huge_pages);
    /// Whether there was a frame for the root.
    bool valid() const { return root_ != nullptr; }
    /// What CR3 takes.
    Hpa root() const { return frames_.physical(root_); }

    /// Maps [hva, hva + bytes) to [hpa, …) with the largest pages that fit.
    Result<void, HostMapError> map(Hva hva, Hpa hpa, u64 bytes, HostAccess access,
                                   HostCache cache = HostCache::WriteBack);
    /// Takes pages out again, splitting large ones: a guard page under a stack, page 0.
    Result<void, HostMapError> unmap(Hva hva, u64 bytes);
    /// The leaf that translates @p hva, or NotMapped.
    Result<HostLeaf, HostMapError> lookup(Hva hva) const;
    /// Frames the tables take, the root included.
    u64 table_frames() const { return table_frames_; }

  private:
    struct Slot {
        u64* entry;
        unsigned level;
    };
    u64* table_at(u64 entry) const {
        return static_cast<u64*>(frames_.pointer({entry & paging::Address::mask}));
    }
    Slot find(Hva hva) const;
    u64* descend(Hva hva, unsigned level);
    bool split(Slot slot);
    Result<void, HostMapError> check(Hva hva, u64 bytes, bool mapped) const;

    HostFrames& frames_;
    u64* root_;
    bool huge_pages_;
    u64 table_frames_ = 0;
};
} // namespace hv::mm
