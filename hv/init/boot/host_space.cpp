// SPDX-License-Identifier: Apache-2.0
#include "hv/init/boot/host_space.hpp"

namespace hv::init {
using namespace hv::paging;

namespace {
constexpr u64 leaf_bits(Rights rights, Caching caching) {
    u64 bits = Present::of(1) | Accessed::of(1);
    bits |= rights == Rights::ReadWrite ? Write::of(1) | Dirty::of(1) : 0;
    bits |= rights == Rights::ReadExecute ? 0 : NoExecute::of(1);
    bits |= caching == Caching::Uncached ? CacheDisable::of(1) | WriteThrough::of(1) : 0; // PAT entry 3
    return bits;
}
// W^X: no combination sets Write without NoExecute.
static_assert((leaf_bits(Rights::ReadWrite, Caching::WriteBack) & NoExecute::mask) != 0);
static_assert((leaf_bits(Rights::ReadExecute, Caching::WriteBack) & Write::mask) == 0);
constexpr u64 kTableBits = Present::of(1) | Write::of(1) | Accessed::of(1); // the leaf decides
} // namespace

Result<void, SpaceError> HostSpace::map(Hva virt, Hpa phys, u64 bytes, Rights rights, Caching caching) {
    if (((virt.raw | phys.raw | bytes) & (kPageBytes - 1)) != 0 || !canonical(virt.raw) ||
        (bytes != 0 && !canonical(virt.raw + bytes - 1))) {
        return Err{SpaceError::Misaligned};
    }
    if (root_.raw == 0) {
        void* const frame = frames_.allocate();
        if (frame == nullptr) {
            return Err{SpaceError::OutOfFrames};
        }
        root_ = frames_.physical(frame);
    }
    u64 const bits = leaf_bits(rights, caching);
    for (u64 done = 0; done < bytes;) {
        unsigned level = huge_pages_ ? 2 : 1;
        while (level != 0 && (((virt.raw + done) | (phys.raw + done)) % entry_bytes(level) != 0 ||
                              bytes - done < entry_bytes(level))) {
            --level;
        }
        u64 const entry = (phys.raw + done) | bits | (level != 0 ? Large::of(1) : 0);
        HV_TRY(map_one(virt.raw + done, entry, level));
        done += entry_bytes(level);
    }
    return {};
}

Result<void, SpaceError> HostSpace::map_one(u64 virt, u64 leaf, unsigned leaf_level) {
    u64* at = table(root_.raw);
    for (unsigned level = kTopLevel;; --level) {
        u64& entry = at[entry_index(virt, level)];
        if (level == leaf_level) {
            if (Present::get(entry) != 0) {
                return Err{SpaceError::AlreadyMapped};
            }
            entry = leaf;
            return {};
        }
        if (Present::get(entry) == 0) {
            void* const frame = frames_.allocate();
            if (frame == nullptr) {
                return Err{SpaceError::OutOfFrames};
            }
            entry = frames_.physical(frame).raw | kTableBits;
        } else if (level != kTopLevel && Large::get(entry) != 0) {
            return Err{SpaceError::AlreadyMapped};
        }
        at = table(entry);
    }
}

HostSpace::Leaf HostSpace::find(Hva virt) const {
    u64 const* at = table(root_.raw);
    for (unsigned level = kTopLevel;; --level) {
        u64 const entry = at[entry_index(virt.raw, level)];
        if (Present::get(entry) == 0 || level == 0 || (level != kTopLevel && Large::get(entry) != 0)) {
            return {entry, level};
        }
        at = table(entry);
    }
}

void HostSpace::copy_upper_half(u64* to) const {
    u64 const* const from = table(root_.raw);
    for (unsigned i = kEntries / 2; i < kEntries; ++i) {
        to[i] = from[i];
    }
}
} // namespace hv::init
