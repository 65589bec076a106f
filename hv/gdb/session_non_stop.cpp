// SPDX-License-Identifier: Apache-2.0
// Non-stop mode: every inferior goes and stops for itself. Source: GDB manual, "Remote Protocol Support for
// Non-Stop Mode" and "Notification Packets".
#include "hv/gdb/session.hpp"
#include <bit>
#include <utility>

namespace hv::gdb {
using Reason = Stop::Reason;

void Session::set_non_stop(bool on) {
    non_stop_ = on;
    notifying_ = first_only_ = false;
    untold_ = silent_ = 0;
    for (Inferior& inferior : inferiors_) {
        inferior.running = inferior.untold = 0;
    }
}

/// Whoever asked for it will hear of each of its virtual processors.
void Session::all_run(u32 index) {
    if (!non_stop_) return;
    Inferior& inferior = inferiors_[index];
    inferior.running = inferior.vps < 64 ? bit(inferior.vps) - 1 : ~u64{0};
    inferior.untold = 0;
    untold_ &= ~bit(index), silent_ &= ~bit(index);
}

/// vCont. To one that goes already `c` and `s` mean nothing, nor `t` to one that stands. A partition stops as
/// a whole. One that was attached stands since then, so that a debugger loses no instruction; gdb 13 takes it
/// for running, dies of a stop that it has not asked for, and asks at once.
void Session::resume_non_stop() {
    bool any = false;
    u64 told = 0;
    for (u64 left = attached_; left != 0; left &= left - 1) {
        u32 const index = static_cast<u32>(std::countr_zero(left));
        Inferior& inferior = inferiors_[index];
        bool asked = false, halts = false;
        for (u32 vp = 0; vp < inferior.vps; ++vp) {
            Action const* const action = action_for(index, vp);
            any |= action != nullptr;
            if (action == nullptr || !action->stop) continue;
            asked = true;
            halts |= (inferior.running & bit(vp)) != 0;
        }
        if (asked) silent_ &= ~bit(index);
        u64 const started = start(index);
        inferior.running |= started;
        if (started != 0) resumed_last_ = index, interrupted_ &= ~bit(index);
        if (started != 0 && (kept_ & bit(index)) != 0) told |= bit(index);
        if (halts) target_.interrupt(index);
    }
    if (!any) return error();
    ok();
    notify();
    for (; told != 0; told &= told - 1) {
        u32 const index = static_cast<u32>(std::countr_zero(told));
        stopped(index, inferiors_[index].kept);
    }
}

/// vCtrlC: what was resumed last, as the user has it before him; all that go when it stands.
void Session::interrupt_non_stop() {
    u64 const those = (going_ & bit(resumed_last_)) != 0 ? bit(resumed_last_) : going_;
    interrupted_ |= those;
    for (u64 left = those; left != 0; left &= left - 1) {
        target_.interrupt(static_cast<u32>(std::countr_zero(left)));
    }
    ok();
}

void Session::stopped_non_stop(u32 index, Stop const& stop) {
    Inferior& inferior = inferiors_[index];
    Owed const owed = index == current_ ? std::exchange(owed_, Owed::Nothing) : Owed::Nothing;
    going_ &= ~bit(index);
    kept_ = stop.reason == Reason::Crashed ? kept_ | bit(index) : kept_ & ~bit(index);
    inferior.kept = stop;
    inferior.untold |= std::exchange(inferior.running, 0);
    if (inferior.untold != 0 || stop.reason == Reason::Ended) untold_ |= bit(index);
    switch (owed) {
    case Owed::Query:
        notifying_ = true;
        next_stop();
        first_only_ = true;
        return;
    case Owed::Run: tell_stop('$', index); break;
    case Owed::Reset: reset_done(stop.reason == Reason::Ended); break;
    default: break;
    }
    notify();
}

/// One at a time: vStopped asks for the others.
void Session::notify() {
    if (notifying_ || to_tell() == 0) return;
    notifying_ = true;
    tell_stop('%', static_cast<u32>(std::countr_zero(to_tell())));
}

/// vStopped, and the answer to `?`. gdb 13 dies of more than one stop that follows from the latter ("wait:
/// Assertion"), so the others are told by themselves.
void Session::next_stop() {
    if (to_tell() != 0 && !first_only_) return tell_stop('$', static_cast<u32>(std::countr_zero(to_tell())));
    notifying_ = first_only_ = false;
    ok();
    notify();
}

/// One of the inferior's stops that have not been told. Hg stays what it is.
void Session::tell_stop(char kind, u32 index) {
    Inferior& inferior = inferiors_[index];
    out_.begin(kind);
    if (kind == '%') out_.put("Stop:");
    if (inferior.kept.reason == Reason::Ended) {
        put_end(index);
        return out_.end();
    }
    Stop stop = inferior.kept;
    if ((inferior.untold & bit(stop.vp)) == 0) // what stopped along with it
        stop = Stop{.vp = static_cast<u32>(std::countr_zero(inferior.untold))};
    inferior.untold &= ~bit(stop.vp);
    if (inferior.untold == 0) untold_ &= ~bit(index);
    if (!stop.registers.filled) stop.registers = stop_registers(index, stop.vp);
    char const signal = stop.reason == Reason::Crashed     ? '6'
                        : stop.reason != Reason::Halted    ? '5'
                        : (interrupted_ & bit(index)) != 0 ? '2'
                                                           : '0';
    put_stop(index, stop, signal, true);
    out_.end();
}
} // namespace hv::gdb
