// SPDX-License-Identifier: Apache-2.0
// A partition under the debugger: who holds it, and its clocks that stand still meanwhile.
#include "hv/base/log.hpp"
#include "hv/partition/partition.hpp"

namespace hv::partition {
void Partition::stand_still() {
    if (still_since_tsc_ == 0) {
        still_since_tsc_ = host_.host.now_tsc();
    }
}

/// TSC, reference time and every timer that is kept in one of them go on where they stopped, so nothing in
/// the guest can tell that time has passed, and nothing is late.
void Partition::go_on() {
    if (still_since_tsc_ == 0) {
        return;
    }
    u64 const stood = host_.host.now_tsc() - std::exchange(still_since_tsc_, 0);
    guest_->time().skip(stood);
    guest_->vp().shift_tsc(guest_->time().guest_offset());
    next_tick_tsc_ += stood;
}

void Partition::guest_panicked() {
    panicked_ = true;
    if (host_.debugger != nullptr) {
        note(Ending::Panic, "the guest reports a panic");
    }
}

void Partition::keep_crashed(Hold how, char const* why) {
    hold_ = how;
    state_ = mgmt::RunState::Crashed;
    detail_ = why;
    ++ends_;
    stand_still();
    keep_counters();
    publish();
    log_error("partition {}: crashed: {}; kept as it is for the debugger ('stop {} off' lets it go)", name(),
              why, name());
    if (debugger_ != nullptr && debugger_->attached()) {
        debugger_->crashed();
        host_.debugger->partition_stopped(id_);
    }
}

bool Partition::make_debugger() {
    if (debugger_ == nullptr) {
        debugger_ = mm::make<Debugger>(heap_, host_.host, *host_.debugger);
    }
    return debugger_ != nullptr;
}

bool Partition::debug_attach(Cpu& cpu) {
    if (!runs() || ending_ != Ending::None || !make_debugger()) {
        return false;
    }
    debug_load(cpu);
    debug_ended_ = false;
    debugger_->attach(*guest_, kept());
    if (hold_ == Hold::Waits) {
        hold_ = Hold::None;
    }
    stand_still();
    publish();
    host_.debugger->partition_stopped(id_);
    return true;
}

void Partition::debug_interrupt(Cpu& cpu) {
    if (debugger() == nullptr || debugger_->stopped()) {
        return;
    }
    if (guest_ == nullptr) {
        return; // it collects its memory: it stops before its first instruction
    }
    debug_load(cpu);
    debugger_->interrupt();
    stand_still();
    keep_counters();
    publish();
    host_.debugger->partition_stopped(id_);
}

void Partition::debug_detach(Cpu& cpu) {
    if (debugger_ == nullptr || !debugger_->attached()) {
        return;
    }
    debug_load(cpu);
    debugger_->detach();
    if (!held()) {
        go_on();
    }
    publish();
}

bool Partition::debug_resume(Cpu& cpu, ResumeOrder const& order) {
    if (debugger() == nullptr || guest_ == nullptr) {
        return false;
    }
    debugger_->resume(order);
    if (hold_ == Hold::Crashed) {
        debugger_->crashed(); // there is nothing to go on with
        return true;
    }
    if (hold_ == Hold::Panicked) {
        hold_ = Hold::None;
        state_ = mgmt::RunState::Running;
        detail_ = "";
    }
    go_on();
    if (order.kind == ResumeOrder::Kind::Continue) {
        publish();
        return false;
    }
    if (ending_ != Ending::None || mailbox_.has_requests()) {
        return false; // work() comes first
    }
    debugger_->step_now(cpu, next_tick_tsc_);
    if (!debugger_->stopped()) {
        return false;
    }
    stand_still();
    return true;
}

bool Partition::debug_restart(Cpu& cpu) {
    if (!make_debugger()) {
        return false;
    }
    stop_at_boot_ = true;
    debug_ended_ = false;
    debug_load(cpu); // also when there is no guest yet: the one that boots now takes the processor
    debugger_->attach_at_boot();
    take_request(cpu, runs() ? mgmt::Request::Restart : mgmt::Request::Start);
    return true;
}

void Partition::debug_kill(Cpu& cpu) {
    take_request(cpu, mgmt::Request::TurnOff);
    debug_ended_ = false; // who killed it knows
}

void Partition::debug_load(Cpu& cpu) {
    static_cast<Scheduler*>(cpu.scheduler)->make_room_for(*this);
    if (guest_ != nullptr && !guest_->vp().loaded()) {
        guest_->vp().load(cpu);
    }
}
} // namespace hv::partition
