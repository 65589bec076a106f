// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/partition.hpp"
#include "hv/base/log.hpp"

namespace hv::partition {
namespace {
constexpr u64 kTicksPerSecond = 4;
/// How long a start waits for its startup memory before it is given up.
constexpr u64 kStartPatienceSeconds = 60;
/// How many blocks the tick of an idle guest looks at for one that a copy of 2 MiB puts together.
constexpr u32 kBlocksLookedAt = 512;

constexpr u64 mib_of_pages(u64 pages) {
    return pages / (MiB / kPageBytes);
}

char const* text(vmbus::Heartbeat::Health health) {
    switch (health) {
    case vmbus::Heartbeat::Health::Unknown: return "none";
    case vmbus::Heartbeat::Health::Alive: return "OK";
    case vmbus::Heartbeat::Health::Lost: return "lost";
    }
    return "?";
}

char const* driver_text(dm::DmService const& dm, u64 reference) {
    if (dm.state() == dm::DmService::State::Distrusted) {
        return "distrusted";
    }
    switch (dm.liveness(reference)) {
    case dm::DmService::Liveness::Absent: return "none";
    case dm::DmService::Liveness::Active: return "active";
    case dm::DmService::Liveness::Inactive: return "inactive";
    case dm::DmService::Liveness::Uncooperative: return "uncooperative";
    }
    return "?";
}
} // namespace

Partition::Partition(PartitionConfig const& config, HostParts& host, u16 id, u32 cpu_index)
    : config_{config},
      host_{host},
      id_{id},
      cpu_index_{cpu_index},
      heap_{host.frames, mm::partition_owner(id)},
      frames_{host.frames, mm::partition_owner(id), mm::FrameKind::Data} {
    publish();
}

u64 Partition::startup_pages() const {
    return mm::GuestLayout::of(config_.memory.startup_mib * MiB, config_.memory.maximum_mib * MiB)
        .startup_pages();
}

bool Partition::ready(u64 now_tsc) {
    if (mailbox_.has_requests() || ending_ != Ending::None) {
        return true;
    }
    if (held()) {
        return false;
    }
    if (now_tsc >= next_tick_tsc_ || mailbox_.has_order()) {
        return true;
    }
    return runs() && (guest_->vp().ready(now_tsc) || guest_->vmbus().has_pending_work());
}

u64 Partition::wake_tsc() const {
    if ((guest_ == nullptr && state_ != mgmt::RunState::Waiting) || held()) {
        return kNever;
    }
    u64 const timer = runs() ? guest_->vp().next_timer_tsc() : kNever;
    return timer < next_tick_tsc_ ? timer : next_tick_tsc_;
}

void Partition::run(Cpu& cpu, u64 until_tsc) {
    if (!work(cpu, host_.host.now_tsc())) {
        return;
    }
    u64 const until = until_tsc < next_tick_tsc_ ? until_tsc : next_tick_tsc_;
    if (debugger_ == nullptr || !debugger_->attached()) {
        guest_->vp().run(cpu, until);
        return;
    }
    debugger_->run(cpu, until);
    if (debugger_->stopped()) {
        stand_still();
        host_.debugger->partition_stopped(id_);
        if (debugger_->stopped_for_long()) {
            keep_counters();
            publish();
        }
    }
}

void Partition::leave(Cpu& cpu) {
    if (guest_ != nullptr) {
        guest_->vp().leave(cpu);
    }
}

void Partition::note(Ending ending, char const* why) {
    // The first reason counts: what a guest does between its reset and the end of this exit changes nothing.
    if (ending_ != Ending::None) {
        return;
    }
    ending_ = ending;
    ending_why_ = why;
    guest_->vp().stop_running();
}

/// What there is to do besides running the guest. @return the guest may run
bool Partition::work(Cpu& cpu, u64 now_tsc) {
    while (mailbox_.has_requests()) {
        if (auto const request = mailbox_.take_request()) {
            take_request(cpu, *request);
        }
    }
    Ending const ending = std::exchange(ending_, Ending::None);
    switch (ending) {
    case Ending::None: break;
    case Ending::PowerOff: stop(cpu, mgmt::RunState::Off, ending_why_); break;
    case Ending::Crash:
    case Ending::Panic:
        if (host_.debugger != nullptr && guest_ != nullptr) {
            keep_crashed(ending == Ending::Panic ? Hold::Panicked : Hold::Crashed, ending_why_);
        } else {
            stop(cpu, mgmt::RunState::Crashed, ending_why_);
        }
        break;
    case Ending::Reset: restart(cpu); break;
    }
    if (held()) {
        return false;
    }
    if (runs() && guest_->vmbus().has_pending_work()) {
        MemoryWork::Account const account{guest_->memory_work()};
        guest_->vmbus().run_pending();
    }
    if (mailbox_.has_order()) {
        if (auto const order = mailbox_.take_order()) {
            take_order(*order);
        }
    }
    if (now_tsc >= next_tick_tsc_) {
        tick(cpu, now_tsc);
        return runs() && !held();
    }
    return runs();
}

void Partition::take_request(Cpu& cpu, mgmt::Request request) {
    restart_lines_ = RateLimit{kRestartsTold};
    next_tick_tsc_ = 0; // a partition that is off does not tick; whatever is asked of it now may want to
    switch (request) {
    case mgmt::Request::Start:
        if (kept()) {
            end_guest(cpu);
        }
        if (runs() || state_ == mgmt::RunState::Waiting) {
            return;
        }
        restarting_ = false;
        waiting_since_tsc_ = host_.host.now_tsc();
        try_start(cpu);
        return;
    case mgmt::Request::Shutdown:
        if (runs()) {
            (void)guest_->shutdown().ask(vmbus::ShutdownService::Kind::PowerOff);
        }
        return;
    case mgmt::Request::TurnOff:
        if (runs() || state_ == mgmt::RunState::Waiting) {
            stop(cpu, mgmt::RunState::Off, "turned off");
        }
        return;
    case mgmt::Request::Restart:
        if (runs()) {
            restart(cpu);
        } else {
            take_request(cpu, mgmt::Request::Start);
        }
        return;
    }
}

void Partition::try_start(Cpu& cpu) {
    if (guest_ != nullptr) {
        // A restart that waits: the guest's memory is still partly with others.
        if (!guest_->memory().reset_for_restart()) {
            waiting_for_pages_ = guest_->memory().restart_shortage_pages();
            state_ = mgmt::RunState::Waiting;
            publish();
            return;
        }
        boot(cpu);
        return;
    }
    auto const made =
        Guest::create(config_, host_, *this, heap_, frames_, owner(), static_cast<u16>(id_ + 1), cpu.node);
    if (made) {
        guest_ = made.value();
        boot(cpu);
        return;
    }
    mm::GuestMemoryRefusal const why = made.error();
    if (why.why == mm::GuestMemoryRefusal::Why::NotEnough) {
        if (state_ != mgmt::RunState::Waiting) {
            log_info("partition {}: waits for {} MiB of startup memory, {} MiB are free for guests", name(),
                     config_.memory.startup_mib, mib_of_pages(why.free_pages));
        }
        waiting_for_pages_ = why.needed_pages;
        state_ = mgmt::RunState::Waiting;
        publish();
        return;
    }
    if (why.why == mm::GuestMemoryRefusal::Why::NoNodeFits) {
        log_error("partition {}: not started: {} MiB do not fit on one NUMA node (the emptiest, node {}, has "
                  "{} MiB); allow "
                  "numa-spanning or lower startup-mib",
                  name(), config_.memory.startup_mib, why.node, mib_of_pages(why.free_pages));
    } else {
        log_error("partition {}: not started: the host has no memory left for its tables; raise reserve-mib",
                  name());
    }
    stop(cpu, mgmt::RunState::Off, "not started: it does not fit");
}

void Partition::boot(Cpu& cpu) {
    guest_->vp().load(cpu);
    waiting_for_pages_ = 0;
    panicked_ = false;
    ending_ = Ending::None;
    state_ = mgmt::RunState::Running;
    detail_ = "";
    ++starts_;
    started_tsc_ = host_.host.now_tsc();
    if (char const* const why = guest_->boot(); why != nullptr) {
        note(Ending::Crash, why);
        return;
    }
    if (!restarting_ || restart_lines_.allow()) {
        log_info("partition {}: {} with {} MiB on processor {}", name(),
                 restarting_ ? "restarted" : "started", config_.memory.startup_mib, cpu_index_);
    }
    next_tick_tsc_ = started_tsc_;
    still_since_tsc_ = 0; // its clocks have just been set
    hold_ = config_.debug_wait && !restarting_ && host_.debugger != nullptr ? Hold::Waits : Hold::None;
    if (debugger_ != nullptr && debugger_->attached()) {
        debugger_->rebooted(*guest_, std::exchange(stop_at_boot_, false));
        hold_ = Hold::None;
    }
    if (held()) {
        stand_still();
        if (debugger_ != nullptr && debugger_->stopped()) {
            host_.debugger->partition_stopped(id_);
        } else {
            log_info("partition {}: waits for the debugger before its first instruction", name());
        }
    }
    publish();
}

void Partition::restart(Cpu& cpu) {
    hold_ = Hold::None;
    guest_->reset_devices();
    ++restarts_;
    restarting_ = true;
    waiting_since_tsc_ = host_.host.now_tsc();
    try_start(cpu);
}

void Partition::end_guest(Cpu& cpu) {
    if (guest_ == nullptr) {
        return;
    }
    if (debugger_ != nullptr && debugger_->attached()) {
        debugger_->guest_ends();
        debug_ended_ = true;
        host_.debugger->partition_stopped(id_);
    }
    hold_ = Hold::None;
    still_since_tsc_ = 0;
    stop_at_boot_ = false;
    guest_->reset_devices();
    guest_->vp().leave(cpu);
    keep_counters();
    Guest::destroy(guest_, host_);
    guest_ = nullptr;
}

void Partition::stop(Cpu& cpu, mgmt::RunState state, char const* detail) {
    end_guest(cpu);
    debug_ended_ = debug_ended_ || std::exchange(stop_at_boot_, false);
    ending_ = Ending::None;
    waiting_for_pages_ = 0;
    ++ends_;
    state_ = state;
    detail_ = detail;
    if (state == mgmt::RunState::Crashed) {
        log_error("partition {}: crashed: {}", name(), detail);
    } else {
        log_info("partition {}: {}", name(), detail);
    }
    publish();
}

void Partition::tick(Cpu& cpu, u64 now_tsc) {
    next_tick_tsc_ = now_tsc + host_.host.tsc_hz() / kTicksPerSecond;
    if (state_ == mgmt::RunState::Waiting) {
        try_start(cpu);
        if (state_ == mgmt::RunState::Waiting &&
            now_tsc > waiting_since_tsc_ + kStartPatienceSeconds * host_.host.tsc_hz()) {
            log_error("partition {}: not {}: {} MiB of startup memory could not be collected, {} MiB are "
                      "free for guests",
                      name(), restarting_ ? "restarted" : "started", config_.memory.startup_mib,
                      mib_of_pages(host_.frames.guest_free_pages()));
            stop(cpu, mgmt::RunState::Off, "too little memory for its startup");
        }
        return;
    }
    if (!runs()) {
        next_tick_tsc_ = kNever; // until a request comes
        return;
    }
    {
        MemoryWork::Account const account{guest_->memory_work()};
        guest_->vmbus().tick(guest_->time().reference_at(now_tsc));
    }
    guest_->hyperv().deliver_waiting(0); // a message slot that was freed without asking for the next message
    guest_->devices().tick();
    if (guest_->vp().halted() && !guest_->vp().ready(now_tsc)) {
        guest_->memory().compact_some(kBlocksLookedAt);
    }
    if (panicked_) {
        panicked_ = false;
        ++panics_;
    }
    state_ = guest_->vp().halted_for_good() ? mgmt::RunState::Halted : mgmt::RunState::Running;
    keep_counters();
    publish();
}

void Partition::take_order(dm::Order const& order) {
    if (!runs()) {
        return;
    }
    dm::Operation operation{.kind = dm::Operation::Kind::None, .pages = order.pages};
    switch (order.kind) {
    case dm::Order::Kind::Hold: return;
    case dm::Order::Kind::Balloon: operation.kind = dm::Operation::Kind::Balloon; break;
    case dm::Order::Kind::GiveBack: operation.kind = dm::Operation::Kind::GiveBack; break;
    case dm::Order::Kind::HotAdd: operation.kind = dm::Operation::Kind::HotAdd; break;
    }
    // A refusal only means that the moment has passed: the balancer looks again in a second.
    MemoryWork::Account const account{guest_->memory_work()};
    (void)guest_->dm().start(operation, guest_->time().reference_time());
    publish();
}

void Partition::publish() {
    Snapshot s;
    s.state = held() && !kept() ? mgmt::RunState::Debug : state_;
    s.waits_for_debugger = hold_ == Hold::Waits;
    s.kept = kept();
    s.detail = detail_;
    s.waiting_for_pages = waiting_for_pages_;
    s.started_tsc = started_tsc_;
    s.restarts = restarts_;
    s.starts = starts_;
    s.ends = ends_;
    if (guest_ != nullptr) {
        mm::GuestMemory const& memory = guest_->memory();
        dm::DmService const& dm = guest_->dm();
        u64 const reference = guest_->time().reference_time();
        u64 const mapped = memory.mapped_large_pages() + memory.mapped_small_pages();
        s.large_percent = mapped == 0 ? 0 : memory.mapped_large_pages() * 100 / mapped;
        s.hot_added = guest_->memory_adapter().hot_added_pages();
        s.heartbeat = text(guest_->heartbeat().health());
        s.driver = driver_text(dm, reference);
        s.can_shut_down = guest_->shutdown().state() == vmbus::IntegrationService::State::Ready;
        s.ballooned = memory.ballooned_pages();
        s.memory = dm.view(reference);
    }
    mailbox_.publish(s);
}

void Partition::keep_counters() {
    vp_counters_ = guest_->vp().counters();
    dm_counters_ = guest_->dm().counters();
    memory_counters_ = guest_->memory().counters();
    vmbus_counters_ = guest_->vmbus().counters();
    hyperv_counters_ = guest_->hyperv().counters();
    port_counters_ = guest_->devices().ports().counters();
    mmio_counters_ = guest_->mmio().counters();
    if (debugger_ != nullptr) {
        debug_counters_ = debugger_->counters();
    }
    mm::OwnerCount const frames = host_.frames.count(owner());
    overhead_pages_ = frames.pages - frames.guest_pages;
    ballooning_ticks_ = guest_->memory_work().ballooning_ticks();
    giving_back_ticks_ = guest_->memory_work().giving_back_ticks();
}
} // namespace hv::partition
