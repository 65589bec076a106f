// SPDX-License-Identifier: Apache-2.0
#include "hv/dm/journal.hpp"
#include "hv/base/assert.hpp"

namespace hv::dm {
namespace {
constexpr u64 mib(u64 pages) {
    return pages / (MiB / kPageBytes);
}
std::string_view verb(Order::Kind kind) {
    switch (kind) {
    case Order::Kind::Hold: return "left alone";
    case Order::Kind::Balloon: return "balloon";
    case Order::Kind::GiveBack: return "give back";
    case Order::Kind::HotAdd: return "hot-add";
    }
    return "?";
}
} // namespace

void Journal::record(u64 at_seconds, Order const& order, PartitionView const& view, u64 wanted,
                     u64 host_free) {
    if (count_ != 0 && order.kind == Order::Kind::Hold) {
        JournalEntry& last = entries_[(count_ - 1) % kEntries];
        if (last.order.kind == Order::Kind::Hold && last.order.reason == order.reason) {
            ++last.repeats;
            return;
        }
    }
    entries_[count_ % kEntries] = {.at_seconds = at_seconds,
                                   .order = order,
                                   .repeats = 0,
                                   .assigned = view.assigned,
                                   .demand = view.demand,
                                   .wanted = wanted,
                                   .host_free = host_free};
    ++count_;
}

JournalEntry const& Journal::entry(u32 back) const {
    HV_ASSERT(back < size());
    return entries_[(count_ - 1 - back) % kEntries];
}

void print(TextBuffer& out, JournalEntry const& e) {
    format(out, "{} s: {}", e.at_seconds, verb(e.order.kind));
    if (e.order.kind != Order::Kind::Hold) {
        format(out, " {} MiB", mib(e.order.pages));
    }
    if (e.repeats != 0) {
        format(out, " for {} s", e.repeats + 1);
    }
    format(out, ", because {}; assigned {}, demand {}, wanted {}, host free {} MiB", text(e.order.reason),
           mib(e.assigned), mib(e.demand), mib(e.wanted), mib(e.host_free));
}
} // namespace hv::dm
