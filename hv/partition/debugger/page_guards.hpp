// SPDX-License-Identifier: Apache-2.0
// The pages whose nested permissions stand for points that have no debug register: what the guest may still
// do with each, and which of them are open for the instruction that is being stepped.
#pragma once
#include "hv/mm/guest_memory.hpp"

namespace hv::partition {
/// On the partition's CPU, between two runs of its processor.
class PageGuards {
  public:
    static constexpr unsigned kMax = 128; ///< pages

    /// What is to be guarded from now on is put together by want(); settle() makes it so.
    void begin() { wanted_ = 0; }
    /// @p allowed is what the guest may still do; several points on one page leave what all of them allow.
    /// @return false when there is no more room
    bool want(Gpa at, Access allowed);
    /// Guards what is wanted and lets go of the rest. @return false when a page could not be guarded (given
    /// back to the host meanwhile, no frame for a table); the others are
    bool settle(mm::GuestMemory& memory);
    void release(mm::GuestMemory& memory) {
        begin();
        (void)settle(memory);
    }
    /// The partition's memory has started over: nothing is guarded any more.
    void forget() { guarded_ = open_ = 0; }

    bool empty() const { return guarded_ == 0; }
    bool any_open() const { return open_ != 0; }
    /// Lets the guest do anything with the page of @p at until close_all(). Pages that are not guarded are
    /// open anyway.
    void open(mm::GuestMemory& memory, Gpa at);
    void close_all(mm::GuestMemory& memory);

  private:
    struct Page {
        Gpa page;
        Access allowed;
        bool open;
    };
    static Page* find(Page* pages, unsigned count, Gpa page);

    Page pages_[kMax] = {};   ///< guarded
    Page targets_[kMax] = {}; ///< wanted
    unsigned guarded_ = 0, wanted_ = 0, open_ = 0;
};
} // namespace hv::partition
