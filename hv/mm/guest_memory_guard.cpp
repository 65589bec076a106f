// SPDX-License-Identifier: Apache-2.0
// Guest memory: guarded pages, for whoever watches what the guest does with one.
#include "hv/mm/guest_memory.hpp"

namespace hv::mm {
Result<void, GuestMemoryError> GuestMemory::guard(Gpa page, Access allowed) {
    page = page.page();
    HV_TRY(window(page)); // maps it if it is not
    GuestBlock& b = *const_cast<GuestBlock*>(find_block(page));
    bool const again = b.guards != 0 && is_guarded(page);
    // The split of a large leaf may take two tables. One is of those that the layout can need and stays
    // accounted for; the other must not come out of what a touch or a balloon relies on.
    if (b.large && !tables_.fill(tables_needed() + 1)) {
        return Err{GuestMemoryError::OutOfFrames};
    }
    auto const done = map_->guard(page, allowed);
    HV_ASSERT(done.ok()); // it is mapped, and the tables are there
    if (!again) {
        update(b, [](GuestBlock& block) {
            block.mapped = block.large ? kPagesPerLargePage : block.mapped;
            block.large = false;
            ++block.guards;
        });
    }
    return {};
}

void GuestMemory::unguard(Gpa page) {
    u32 const index = block_index(page);
    if (index == kNoBlock || !map_->unguard(page)) {
        return;
    }
    GuestBlock& b = blocks_[index];
    --b.guards;
    if (b.mapped == kPagesPerLargePage && !small_only_ && map_->try_join(page)) {
        update(b, [](GuestBlock& block) {
            block.mapped = 0;
            block.large = true;
        });
        map_->try_join(page); // to 1 GiB again, if it was that
        settle_tables();
    }
}

Access GuestMemory::guarded(Gpa at) const {
    auto const leaf = map_->lookup(at);
    return leaf.ok() && leaf.value().guarded ? leaf.value().access : Access::RWX;
}

bool GuestMemory::is_guarded(Gpa at) const {
    auto const leaf = map_->lookup(at);
    return leaf.ok() && leaf.value().guarded;
}

/// The guards among the pages of a piece at @p at.
u16 GuestMemory::guards_in(Gpa at, Piece const& p) const {
    u16 guards = 0;
    for (unsigned i = 0; i < p.count; ++i) {
        guards = static_cast<u16>(guards + is_guarded(at + i * kPageBytes));
    }
    return guards;
}
} // namespace hv::mm
