// SPDX-License-Identifier: Apache-2.0
// Coming, going, and where the points are. The turns are debugger_run.cpp.
#include "hv/partition/debugger/debugger.hpp"
#include "hv/partition/debugger/linear_memory.hpp"
#include "hv/partition/guest.hpp"
#include <utility>

namespace hv::partition {
using debug::Placement;
using debug::PointKind;

void Debugger::attach(Guest& guest, bool has_crashed) {
    guest_ = &guest;
    code_.forget();
    attached_ = true;
    guest.vp().on_debug_registers(debug_registers_changed, this);
    placed_ = false;
    armed_ = Armed::Unknown;
    past_point_ = shadow_ = false;
    watched_ = 0;
    last_order_ = ResumeOrder::Kind::Continue;
    stop({.reason = has_crashed ? StopEvent::Reason::Crashed : StopEvent::Reason::Halted});
}

void Debugger::attach_at_boot() {
    if (!attached_) {
        points_.clear();
    }
    attached_ = true;
    mode_ = Mode::Continue;
    last_order_ = ResumeOrder::Kind::Continue;
    stop_told_ = true;
}

void Debugger::detach() {
    if (guest_ != nullptr) {
        remove_all_points();
        guards_.release(guest_->memory());
        guest_->vp().on_debug_registers(nullptr, nullptr);
        guest_->vp().attend_soon();
        placement_ = debug::place(guest_->vp().guest_breakpoints(), points_, {});
        guest_->vp().hardware().arm_breakpoints(placement_.hardware);
        watch_tables(false);
    }
    attached_ = false;
    mode_ = Mode::Continue;
    guest_ = nullptr;
}

void Debugger::rebooted(Guest& guest, bool stop_there) {
    guest_ = &guest;
    guest.vp().on_debug_registers(debug_registers_changed, this);
    guards_.forget();
    code_.forget();
    placed_ = watches_tables_ = false;
    armed_ = Armed::Unknown;
    past_point_ = shadow_ = false;
    watched_ = 0;
    if (stop_there) {
        stop({.reason = StopEvent::Reason::Halted});
    }
}

void Debugger::guest_ends() {
    attached_ = false;
    mode_ = Mode::Continue;
    guest_ = nullptr;
    guards_.forget();
    code_.forget();
    points_.clear();
}

void Debugger::crashed() {
    stop({.reason = StopEvent::Reason::Crashed});
}

void Debugger::interrupt() {
    if (mode_ != Mode::Stopped) {
        stop({.reason = StopEvent::Reason::Halted});
    }
}

void Debugger::resume(ResumeOrder const& order) {
    last_order_ = order.kind;
    range_first_ = order.range_first;
    range_end_ = order.range_end;
    stop_told_ = true;
    switch (order.kind) {
    case ResumeOrder::Kind::Continue: mode_ = Mode::Continue; break;
    case ResumeOrder::Kind::Step: mode_ = Mode::Step; break;
    case ResumeOrder::Kind::StepRange: mode_ = Mode::StepRange; break;
    }
    resume_flag_asked_ = 0; // the code may have changed
    if ((placement_.guarded | placement_.homeless) != 0 ||
        (!points_.empty() && in_based_code() != in_based_code_)) {
        placed_ = false; // who has a debug register does not mind what the guest's tables say now
    }
    guest_->vp().attend_soon();
}

StopEvent const* Debugger::take_stop() {
    if (stop_told_ || mode_ != Mode::Stopped) {
        return nullptr;
    }
    stop_told_ = true;
    return &event_;
}

void Debugger::stop(StopEvent const& event) {
    if (guards_.any_open()) {
        guards_.close_all(guest_->memory());
    }
    past_point_ = repeats_ = false;
    condition_since_tsc_ = 0;
    mode_ = Mode::Stopped;
    event_ = event;
    stop_told_ = false;
}

Result<void, debug::PointTableError> Debugger::insert(debug::PointSpec const& spec,
                                                      std::span<u8 const> conditions) {
    auto const inserted = points_.insert(spec, conditions);
    placed_ = false;
    resume_flag_asked_ = 0; // its index may have been another's
    if (!inserted) {
        return Err{inserted.error()};
    }
    return {};
}

bool Debugger::remove(debug::PointSpec const& spec) {
    placed_ = false;
    bool const removed = points_.remove(spec);
    watched_ &= points_.used(); // the guest may be in the middle of an instruction
    return removed;
}

void Debugger::remove_all_points() {
    placed_ = false;
    points_.clear();
    watched_ = 0;
}

void Debugger::debug_registers_changed(void* self) {
    static_cast<Debugger*>(self)->placed_ = false;
}

/// Whether page guards can stand for it now: all of it is mapped by the guest.
bool Debugger::guardable(debug::PointSpec const& spec) {
    VcpuView view{guest_->vp().hardware()};
    Gpa at;
    u64 const last = spec.address + (spec.bytes - 1);
    for (u64 page = spec.address & ~(kPageBytes - 1);; page += kPageBytes) {
        if (!translate_linear(view, guest_->memory(), page, at) || !guest_->memory().is_ram(at)) {
            return false;
        }
        if ((last ^ page) < kPageBytes) {
            return true;
        }
    }
}

void Debugger::place_points() {
    VirtVcpu& hw = guest_->vp().hardware();
    debug::PlacementRules rules;
    in_based_code_ = in_based_code();
    if (hw.breakpoints_ignore_cs_base()) {
        // The guest may turn to code with a base without an exit, and software QEMU 7.2 dies of a breakpoint
        // that it meets there (breakpoint_handler finds none at EIP). Real-mode code is below 1 MiB.
        rules.code_breakpoints = !in_based_code_;
        rules.code_breakpoints_from = MiB;
    }
    placement_ = debug::place(guest_->vp().guest_breakpoints(), points_, rules);
    if (placement_.guarded != 0) { // registers do not suffice: who can do without one?
        debug::for_each_point(points_.used(), [&](unsigned i) {
            debug::PointSpec const& spec = points_[i].spec;
            bool const small = spec.bytes <= PageGuards::kMax * kPageBytes;
            rules.unguardable |= small && guardable(spec) ? 0 : u64{1} << i;
        });
        placement_ = debug::place(guest_->vp().guest_breakpoints(), points_, rules);
    }
    for_step_ = placement_;
    for (unsigned n = 0; n < 4; ++n) {
        Placement::Owner& owner = for_step_.owner[n];
        if (owner.kind == Placement::Owner::Kind::Point &&
            points_[static_cast<unsigned>(__builtin_ctzll(owner.points))].spec.kind == PointKind::Execute) {
            owner = {};
            for_step_.hardware.dr7 &= ~(u64{3} << (2 * n)); // Ln, Gn
        }
    }
    guard_points();
    watch_tables(placement_.homeless != 0);
    placed_ = true;
    armed_ = Armed::Unknown;
}

/// Points in pages that the guest has not mapped yet, and no register left: new tables may have them.
void Debugger::watch_tables(bool on) {
    if (watches_tables_ != on) {
        guest_->vp().hardware().report_cr3_writes(on);
        watches_tables_ = on;
    }
}

void Debugger::guard_points() {
    if (placement_.guarded == 0 && guards_.empty()) {
        return;
    }
    VcpuView view{guest_->vp().hardware()};
    mm::GuestMemory& memory = guest_->memory();
    guards_.begin();
    debug::for_each_point(placement_.guarded, [&](unsigned i) {
        debug::PointSpec const& spec = points_[i].spec;
        Access allowed = Access::RW;
        switch (spec.kind) {
        case PointKind::Execute: break;
        case PointKind::Write: allowed = Access::RX; break;
        case PointKind::Read:
        case PointKind::Access: allowed = Access::X; break;
        }
        u64 const last = spec.address + (spec.bytes - 1);
        for (u64 page = spec.address & ~(kPageBytes - 1);; page += kPageBytes) {
            Gpa at;
            if (translate_linear(view, memory, page, at)) {
                guards_.want(at, allowed);
            }
            if ((last ^ page) < kPageBytes) {
                return;
            }
        }
    });
    (void)guards_.settle(memory); // what the host has taken back is tried again when points are placed anew
}

void Debugger::arm(Armed wanted) {
    if (armed_ != wanted) {
        guest_->vp().hardware().arm_breakpoints(wanted == Armed::All ? placement_.hardware
                                                                     : for_step_.hardware);
        armed_ = wanted;
    }
}

bool Debugger::in_based_code() {
    VirtVcpu& hw = guest_->vp().hardware();
    return !hw.in_64bit_code() && hw.read(Seg::Cs).base != 0;
}

u64 Debugger::linear_rip() {
    VirtVcpu& hw = guest_->vp().hardware();
    if (hw.in_64bit_code()) {
        return hw.read(Reg::Rip);
    }
    VcpuView view{hw};
    return decode::linear_rip(view, code_mode(view));
}
} // namespace hv::partition
