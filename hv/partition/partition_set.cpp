// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/partition_set.hpp"

namespace hv::partition {
namespace {
constexpr u64 pages_of_mib(u64 mib) {
    return mib * (MiB / kPageBytes);
}
} // namespace

void PartitionSet::add(Partition& partition) {
    HV_ASSERT(count_ < kMaxPartitions);
    u32 const index = count_++;
    partitions_[index] = &partition;
    // Insertion keeps the balancer's order; partitions of equal priority stay in the order of the
    // configuration.
    u32 at = index;
    while (at != 0 &&
           partitions_[by_priority_[at - 1]]->config().memory.priority > partition.config().memory.priority) {
        by_priority_[at] = by_priority_[at - 1];
        --at;
    }
    by_priority_[at] = static_cast<u8>(index);
}

void PartitionSet::fill_settings(u32 index, dm::PartitionView& v) const {
    MemoryConfig const& m = partitions_[index]->config().memory;
    // The hole of the legacy video memory is not RAM: sizes are told with it, counted without it.
    u64 const hole = pages_of_mib(m.startup_mib) - partitions_[index]->startup_pages();
    v.minimum = pages_of_mib(m.minimum_mib) - hole;
    v.maximum = pages_of_mib(m.maximum_mib) - hole;
    v.buffer_percent = m.buffer_percent;
    v.priority = m.priority;
}

void PartitionSet::balance(u64) {
    dm::PartitionView views[kMaxPartitions];
    dm::PartitionMemory memory[kMaxPartitions];
    dm::Order orders[kMaxPartitions];
    u8 index_of[kMaxPartitions];
    u32 running = 0;
    dm::HostView host{.free = frames_.guest_free_pages(), .claimed = 0, .idle_ticks = config_.idle_seconds};
    for (u32 i = 0; i < count_; ++i) {
        u32 const index = by_priority_[i];
        Snapshot const s = partitions_[index]->mailbox().snapshot();
        host.claimed += s.waiting_for_pages;
        if (s.state != mgmt::RunState::Running) {
            continue;
        }
        if (s.starts != seen_starts_[index]) {
            seen_starts_[index] = s.starts;
            memory_[index] = {};
        }
        views[running] = s.memory;
        fill_settings(index, views[running]);
        memory[running] = memory_[index];
        index_of[running++] = static_cast<u8>(index);
    }
    dm::balance(host, {views, running}, {memory, running}, {orders, running});
    for (u32 i = 0; i < running; ++i) {
        u32 const index = index_of[i];
        memory_[index] = memory[i];
        journals_[index].record(uptime_seconds(), orders[i], views[i], memory[i].wanted, host.free);
        if (orders[i].kind != dm::Order::Kind::Hold) {
            partitions_[index]->mailbox().post(orders[i]);
            host_.kick(partitions_[index]->cpu_index());
        }
    }
}

bool PartitionSet::all_ended() {
    bool any_started = false;
    for (u32 i = 0; i < count_; ++i) {
        Partition& p = *partitions_[i];
        Snapshot const s = p.mailbox().snapshot();
        bool const ended = s.state == mgmt::RunState::Off || (s.state == mgmt::RunState::Crashed && !s.kept);
        if (!ended || p.mailbox().has_requests()) {
            return false;
        }
        any_started = any_started || s.ends != 0;
    }
    return any_started;
}

std::string_view PartitionSet::crashed() {
    for (u32 i = 0; i < count_; ++i) {
        Snapshot const s = partitions_[i]->mailbox().snapshot();
        if (s.state == mgmt::RunState::Crashed) {
            return partitions_[i]->name();
        }
    }
    return {};
}

mgmt::PartitionStatus PartitionSet::status(u32 index) {
    Partition& p = *partitions_[index];
    Snapshot const s = p.mailbox().snapshot();
    dm::PartitionView view = s.memory;
    fill_settings(index, view);
    MemoryConfig const& m = p.config().memory;
    bool const running = s.state == mgmt::RunState::Running || s.state == mgmt::RunState::Halted ||
                         s.state == mgmt::RunState::Debug;
    return {.name = p.name(),
            .state = s.state,
            .detail = s.detail,
            .assigned = view.assigned,
            .demand = view.demand,
            .wanted = dm::wanted_pages(view),
            .reporting = view.reporting,
            .memory_status = dm::status(view),
            .minimum = pages_of_mib(m.minimum_mib),
            .startup = pages_of_mib(m.startup_mib),
            .maximum = pages_of_mib(m.maximum_mib),
            .buffer_percent = m.buffer_percent,
            .priority = m.priority,
            .ballooned = s.ballooned,
            .hot_added = s.hot_added,
            .large_percent = s.large_percent,
            .heartbeat = s.heartbeat,
            .driver = s.driver,
            .cpu = p.cpu_index(),
            .uptime_seconds = running ? (host_.now_tsc() - s.started_tsc) / host_.tsc_hz() : 0,
            .restarts = s.restarts};
}

mgmt::HostStatus PartitionSet::host() {
    u64 total = 0;
    for (u32 node = 0; node < frames_.node_count(); ++node) {
        total += frames_.total_pages(node);
    }
    return {.total = total,
            .free = frames_.guest_free_pages(),
            .reserve = frames_.reserve_pages(),
            .hypervisor = frames_.count(mm::Owner::Hypervisor).pages,
            .cpus = static_cast<u32>(host_.cpus().size()),
            .nodes = frames_.node_count(),
            .uptime_seconds = uptime_seconds(),
            .backend = backend_name_};
}

u32 PartitionSet::counters(u32 index, std::span<mgmt::NamedCounter> into) {
    return partitions_[index]->counters(into);
}

bool PartitionSet::request(u32 index, mgmt::Request request, TextBuffer& why) {
    Partition& p = *partitions_[index];
    Snapshot const s = p.mailbox().snapshot();
    bool const ended = s.state == mgmt::RunState::Off || s.state == mgmt::RunState::Crashed;
    if (request == mgmt::Request::Start && !ended) {
        why.put("it is running already");
        return false;
    }
    bool const lets_go = request == mgmt::Request::TurnOff && s.kept; // of what was kept for the debugger
    if (request == mgmt::Request::Shutdown && s.state == mgmt::RunState::Debug) {
        why.put("it stands still for the debugger; 'stop NAME off' cuts the power");
        return false;
    }
    if ((request == mgmt::Request::Shutdown || request == mgmt::Request::TurnOff) && ended && !lets_go) {
        why.put("it is not running");
        return false;
    }
    if (request == mgmt::Request::Shutdown && !s.can_shut_down) {
        why.put("its guest has no shutdown service to ask (driver hv_utils); 'stop NAME off' cuts the power");
        return false;
    }
    p.mailbox().post(request);
    host_.kick(p.cpu_index());
    return true;
}

bool PartitionSet::check(TextBuffer& verdict) {
    if (proof_ == nullptr) {
        verdict.put("no proof is available");
        return false;
    }
    return proof_->check(verdict);
}
} // namespace hv::partition
