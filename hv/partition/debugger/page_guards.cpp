// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/debugger/page_guards.hpp"

namespace hv::partition {
PageGuards::Page* PageGuards::find(Page* pages, unsigned count, Gpa page) {
    for (unsigned i = 0; i < count; ++i) {
        if (pages[i].page == page) {
            return &pages[i];
        }
    }
    return nullptr;
}

bool PageGuards::want(Gpa at, Access allowed) {
    Gpa const page = at.page();
    if (Page* const known = find(targets_, wanted_, page); known != nullptr) {
        known->allowed = known->allowed & allowed;
        return true;
    }
    if (wanted_ == kMax) {
        return false;
    }
    targets_[wanted_++] = {page, allowed, false};
    return true;
}

bool PageGuards::settle(mm::GuestMemory& memory) {
    close_all(memory);
    for (unsigned i = 0; i < guarded_; ++i) {
        if (find(targets_, wanted_, pages_[i].page) == nullptr) {
            memory.unguard(pages_[i].page);
        }
    }
    guarded_ = 0;
    for (unsigned i = 0; i < wanted_; ++i) {
        if (memory.guard(targets_[i].page, targets_[i].allowed).ok()) {
            pages_[guarded_++] = targets_[i];
        }
    }
    return guarded_ == wanted_;
}

void PageGuards::open(mm::GuestMemory& memory, Gpa at) {
    Page* const guarded = find(pages_, guarded_, at.page());
    if (guarded != nullptr && !guarded->open) {
        guarded->open = true;
        ++open_;
        (void)memory.guard(guarded->page, Access::RWX);
    }
}

void PageGuards::close_all(mm::GuestMemory& memory) {
    for (unsigned i = 0; open_ != 0; ++i) {
        if (pages_[i].open) {
            pages_[i].open = false;
            --open_;
            (void)memory.guard(pages_[i].page, pages_[i].allowed);
        }
    }
}
} // namespace hv::partition
