// SPDX-License-Identifier: Apache-2.0
// The session's resumes and stops. A single step passes here once in each direction: no detours.
#include "hv/gdb/session.hpp"
#include <bit>
#include <utility>

namespace hv::gdb {
using Reason = Stop::Reason;

/// vCont. Source: GDB manual, "Packets".
void Session::resume(std::string_view text) {
    if (!resumes_as_before(text) && !read_actions(text)) return error();
    if (non_stop_) return resume_non_stop();
    owe(Owed::Resumed);
    bool any = false;
    u64 told = 0;
    for (u64 left = attached_; left != 0; left &= left - 1) {
        u32 const index = static_cast<u32>(std::countr_zero(left));
        if (start(index) == 0) continue;
        any = true;
        if ((going_ & bit(index)) == 0) told |= bit(index);
    }
    if (!any) {
        owe(Owed::Nothing);
        return error();
    }
    for (; told != 0; told &= told - 1) {
        u32 const index = static_cast<u32>(std::countr_zero(told));
        stopped(index, inferiors_[index].kept);
    }
}

/// Those of one inferior, the stepping ones first. One with a stop nobody has heard of yet does not go at
/// all.
/// @return for which of its virtual processors, that stood, an action was
u64 Session::start(u32 index) {
    Inferior const& inferior = inferiors_[index];
    bool const goes = (kept_ & bit(index)) == 0;
    u64 continue_these = 0, all = 0;
    for (u32 vp = 0; vp < inferior.vps; ++vp) {
        Action const* const action = action_for(index, vp);
        if (action == nullptr || action->stop || ((inferior.running | inferior.untold) & bit(vp)) != 0)
            continue;
        all |= bit(vp);
        if (action->how.kind == Resume::Kind::Continue) {
            continue_these |= bit(vp);
        } else if (goes) {
            target_.resume(index, vp, action->how);
        }
    }
    if (!goes || all == 0) return all;
    for (; continue_these != 0; continue_these &= continue_these - 1) {
        target_.resume(index, static_cast<u32>(std::countr_zero(continue_these)), {});
    }
    going_ |= bit(index);
    return all;
}

/// @param text with its `vCont;`
bool Session::read_actions(std::string_view text) {
    actions_text_bytes_ = 0;
    Scanner words{text};
    (void)words.choice("vCont;\0");
    u64 signal = 0;
    action_count_ = 0;
    do {
        if (action_count_ == kMaxActions) return false;
        Action& action = actions_[action_count_++];
        action = Action{};
        Resume& how = action.how;
        switch (words.next()) {
        case 'C':
            if (!words.number(signal)) return false;
            break;
        case 'c': break;
        case 'S':
            if (!words.number(signal)) return false;
            [[fallthrough]];
        case 's': how.kind = Resume::Kind::Step; break;
        case 'r':
            if (!words.number(how.range_first) || !words.eat(',') || !words.number(how.range_end))
                return false;
            how.kind = how.range_first == how.range_end ? Resume::Kind::Step : Resume::Kind::StepRange;
            break;
        case 't': action.stop = true; break;
        default: return false;
        }
        if (words.eat(':') && !words.thread(action.threads)) return false;
    } while (words.eat(';'));
    if (!words.at_end()) return false;
    if (text.size() <= sizeof actions_text_) {
        text.copy(actions_text_, text.size());
        actions_text_bytes_ = static_cast<u32>(text.size());
    }
    return true;
}

/// The leftmost that matches; none: it stays as it is.
Session::Action const* Session::action_for(u32 index, u32 vp) const {
    for (u32 i = 0; i < action_count_; ++i) {
        ThreadId const& t = actions_[i].threads;
        bool const pid_matches = t.pid > 0 ? static_cast<u32>(t.pid) == index + 1
                                           : t.pid != ThreadId::kUnnamed || index == current_;
        if (pid_matches && (t.tid <= 0 || static_cast<u32>(t.tid) == vp + 1)) return &actions_[i];
    }
    return nullptr;
}

/// 0x03. While everything stands it is one that crossed a stop.
void Session::interrupt() {
    if (owed_ != Owed::Resumed) return;
    interrupted_ = going_;
    for (u64 left = going_; left != 0; left &= left - 1) {
        target_.interrupt(static_cast<u32>(std::countr_zero(left)));
    }
}

void Session::look_for_stops() {
    for (u64 left = going_; left != 0; left &= left - 1) {
        u32 const index = static_cast<u32>(std::countr_zero(left));
        if (Stop const* const stop = target_.take_stop(index)) stopped(index, *stop);
    }
}

/// The first stop is reported, once everybody stands. Of the others those are kept that would not come again:
/// a breakpoint is hit anew, an access is not.
void Session::stopped(u32 index, Stop const& stop) {
    if (non_stop_) return stopped_non_stop(index, stop);
    going_ &= ~bit(index);
    bool const first = owed_ != Owed::Nothing && stopped_first_ == kNone;
    bool const comes_again =
        stop.reason == Reason::Halted || stop.reason == Reason::Stepped || stop.reason == Reason::Breakpoint;
    bool const stays =
        stop.reason == Reason::Crashed || (owed_ == Owed::Reset && stop.reason == Reason::Ended);
    if (stays || (!first && !comes_again)) {
        kept_ |= bit(index);
        inferiors_[index].kept = stop;
        inferiors_[index].kept.registers = {}; // gdb may change them before it is told
    } else if (first) {
        kept_ &= ~bit(index);
    }
    if (first && going_ == 0) return report(index, stop);
    if (first) {
        stopped_first_ = index;
        first_stop_ = stop;
        for (u64 left = going_; left != 0; left &= left - 1) {
            target_.interrupt(static_cast<u32>(std::countr_zero(left)));
        }
    }
    if (going_ == 0 && stopped_first_ != kNone) report(stopped_first_, first_stop_);
}

void Session::put_thread(u32 index, u32 vp) {
    if (multiprocess_) {
        out_.put('p');
        out_.number(u64{index} + 1);
        out_.put('.');
    }
    out_.number(u64{vp} + 1);
}

Stop::Registers Session::stop_registers(u32 index, u32 vp) {
    u32 const current = std::exchange(current_, index), current_vp = std::exchange(vp_, vp);
    Stop::Registers const registers{.filled = true,
                                    .code_bits = target_.code_bits(current_, vp_),
                                    .rip = read_u64(RegisterId::Rip),
                                    .rsp = read_u64(RegisterId::Rsp),
                                    .rbp = read_u64(RegisterId::Rbp),
                                    .cs_base = read_u64(RegisterId::CsBase),
                                    .ss_base = read_u64(RegisterId::SsBase)};
    current_ = current, vp_ = current_vp;
    return registers;
}

/// The stop reply. Source: GDB manual, "Stop Reply Packets".
void Session::report(u32 index, Stop const& stop) {
    current_ = index, vp_ = stop.vp; // gdb takes Hg to be this thread
    if (!stop.registers.filled && stop.reason != Reason::Ended) {
        Stop complete = stop;
        complete.registers = stop_registers(index, stop.vp);
        return report(index, complete);
    }
    Owed const owed = owed_;
    bool const interrupted = interrupted_ != 0;
    owe(Owed::Nothing);
    if (owed == Owed::Reset) return reset_done(stop.reason == Reason::Ended);
    if (stop.reason == Reason::Ended) {
        out_.begin();
        put_end(index);
        return out_.end();
    }
    u32 const bits = stop.registers.code_bits;
    Inferior& inferior = inferiors_[index];
    bool const wrong = !inferior.layout.expresses(bits) ||
                       (inferior.choice == ArchChoice::Auto && inferior.layout.code_bits() != bits);
    if (owed == Owed::Resumed && wrong && inferior.hinted_bits != bits) hint(bits);
    if (!wrong) inferior.hinted_bits = static_cast<u8>(inferior.layout.code_bits());

    out_.begin();
    char const signal = stop.reason == Reason::Crashed                                              ? '6'
                        : stop.reason != Reason::Halted || owed == Owed::Query || owed == Owed::Run ? '5'
                        : interrupted                                                               ? '2'
                                                                                                    : '0';
    put_stop(index, stop, signal, owed == Owed::Resumed);
    out_.end();
}

/// @param stop with its registers
void Session::put_stop(u32 index, Stop const& stop, char signal, bool with_reason) {
    Stop::Registers const& regs = stop.registers;
    u32 const bits = regs.code_bits;
    u64 const rip = bits == 64 ? regs.rip : static_cast<u32>(regs.rip + regs.cs_base);
    // In 16-bit code the rest of ESP may be anything.
    u64 const rsp =
        bits == 64 ? regs.rsp : static_cast<u32>((bits == 16 ? regs.rsp & 0xffff : regs.rsp) + regs.ss_base);
    Inferior const& inferior = inferiors_[index];
    char const start[] = {'T', '0', signal};
    out_.put(std::string_view{start, sizeof start});
    if (with_reason && inferior.layout.expresses(bits)) { // else gdb resumes silently
        switch (stop.reason) {
        case Reason::Breakpoint:
            if (stop.software ? swbreak_ : hwbreak_) out_.put(stop.software ? "swbreak:;" : "hwbreak:;");
            break;
        case Reason::WriteWatch:
        case Reason::ReadWatch:
        case Reason::AccessWatch:
            out_.put(stop.reason == Reason::WriteWatch  ? "watch:"
                     : stop.reason == Reason::ReadWatch ? "rwatch:"
                                                        : "awatch:");
            out_.number(stop.address);
            out_.put(';');
            break;
        default: break;
        }
    }
    out_.put(std::string_view{"thread:"});
    put_thread(index, stop.vp);
    out_.put(';');
    bool const wide = inferior.layout.arch == Arch::X64;
    PacketWriter::Tagged const told[] = {
        {regs.rbp, wide ? u8{6} : u8{5}}, {rsp, wide ? u8{7} : u8{4}}, {rip, wide ? u8{16} : u8{8}}};
    out_.registers(told, inferior.layout.word_bytes());
}

/// It is gone, and its threads leave the list, or gdb would add them again.
void Session::put_end(u32 index) {
    target_.detach(index);
    forget(index);
    out_.put("W00");
    if (multiprocess_) {
        out_.put(";process:");
        out_.number(u64{index} + 1);
    }
}
} // namespace hv::gdb
