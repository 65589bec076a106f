// SPDX-License-Identifier: Apache-2.0
// The session's requests by their first letter, and everything about who is attached.
#include "hv/gdb/session.hpp"

namespace hv::gdb {
void Session::receive(std::span<u8 const> bytes) {
    while (!bytes.empty()) {
        switch (in_.take(bytes)) {
        case PacketReader::Event::Packet: {
            auto const packet = in_.packet();
            command({reinterpret_cast<char const*>(packet.data()), packet.size()});
            break;
        }
        case PacketReader::Event::Bad: out_.answer(false); break;
        case PacketReader::Event::Interrupt: interrupt(); break;
        case PacketReader::Event::Ack: out_.acknowledged(true); break;
        case PacketReader::Event::Nak: out_.acknowledged(false); break;
        case PacketReader::Event::None: break;
        }
    }
}

void Session::error(u8 number) {
    out_.begin();
    out_.put('E');
    out_.byte(number);
    out_.end();
}

bool Session::exists(u64 pid) {
    return pid - 1 < kMaxInferiors && pid - 1 < target_.inferior_count();
}

void Session::command(std::string_view text) {
    Scanner words{text};
    if (text.starts_with('q') && words.choice("qSupported\0") == 0) {
        out_.clear();
        out_.answer(true);
        return connect(words.rest());
    }
    out_.acknowledged(true); // who asks has had the answer before
    out_.answer(true);
    if (owed_ != Owed::Nothing) return;
    if (resumes_as_before(text)) return resume(text);
    switch (words.next()) {
    case 'v': return v_packet(text);
    case 'm': return read_memory(words);
    case 'g': return read_registers();
    case 'H': return select(words);
    case 'Z': return point(words, true);
    case 'z': return point(words, false);
    case 'q': return query(words);
    case 'M': return write_memory(words, false);
    case 'X': return write_memory(words, true);
    case 'G': return write_registers(words);
    case 'p': return read_one(words);
    case 'P': return write_one(words);
    case '?': return answer_query();
    case '!': return ok();
    case 'D': return detach(words);
    case 'T': {
        ThreadId id;
        return words.thread(id) && thread_exists(id) ? ok() : error();
    }
    case 'k': // wants no answer
        if (is_attached(current_)) {
            target_.kill(current_);
            forget(current_);
        }
        return;
    case 'Q':
        if (!reliable_line_) break;
        switch (words.choice("StartNoAckMode\0NonStop:0\0NonStop:1\0")) {
        case 0: ok(); return out_.stop_acks();
        case 1: set_non_stop(false); return ok();
        case 2:
            set_non_stop(true);
            if (attach_candidate()) silent_ |= bit(current_); // gdb asks for threads before it sends `?`
            return ok();
        default: break;
        }
        break;
    default: break;
    }
    unknown(); // not known here
}

void Session::v_packet(std::string_view text) {
    Scanner words{text};
    u64 pid = 0;
    u32 const what = words.choice("vCont;\0vCont?\0vRun;\0vAttach;\0vKill;\0vStopped\0vCtrlC\0");
    switch (what) {
    case 0: return resume(text);
    case 1: return out_.packet("vCont;c;C;s;S;t;r");
    case 2: return run(words);
    case 3:
    case 4:
        if (!words.number(pid) || !exists(pid)) return error();
        return what == 3 ? attach(static_cast<u32>(pid - 1)) : kill(static_cast<u32>(pid - 1));
    case 5:
        if (non_stop_) return next_stop();
        break;
    case 6:
        if (non_stop_) return interrupt_non_stop();
        break;
    default: break;
    }
    unknown();
}

/// A new gdb: whatever the last one left is void, but what it stopped stays stopped until this one has asked.
void Session::connect(std::string_view features) {
    owe(Owed::Nothing);
    set_non_stop(false);
    physical_ = multiprocess_ = swbreak_ = hwbreak_ = false;
    Scanner words{features};
    for (words.eat(':'); !words.at_end(); words.word(';')) {
        switch (words.choice("multiprocess+\0swbreak+\0hwbreak+\0")) {
        case 0: multiprocess_ = true; break;
        case 1: swbreak_ = true; break;
        case 2: hwbreak_ = true; break;
        default: break;
        }
    }
    for (u32 i = 0; i < kMaxInferiors; ++i) {
        if (!is_attached(i)) continue;
        target_.remove_points(i);
        Stop::Reason const kept = inferiors_[i].kept.reason;
        if (kept != Stop::Reason::Crashed && kept != Stop::Reason::Ended) kept_ &= ~bit(i);
    }
    if (u32 const chosen = candidate(); chosen != kNone) current_ = chosen, vp_ = 0;

    out_.begin();
    static_assert(PacketReader::kDataBytes == 0x4000);
    out_.put("PacketSize=4000");
    if (reliable_line_) out_.put(";QStartNoAckMode+;QNonStop+"); // a lost notification would not be noticed
    if (multiprocess_) out_.put(";multiprocess+");
    if (swbreak_) out_.put(";swbreak+");
    if (hwbreak_) out_.put(";hwbreak+");
    out_.put(";vContSupported+;ConditionalBreakpoints+;qXfer:features:read+;qXfer:threads:read+"
             ";qXfer:memory-map:read+;qXfer:osdata:read+");
    out_.end();
}

/// The one inferior that a new gdb is shown: gdb 13 reads the description of the first only. One that the
/// last gdb held, else one waiting for a debugger, else one kept after a crash, else the only one that is on.
u32 Session::candidate() {
    if (is_attached(current_) && target_.inferior(current_).on) return current_;
    u32 held = kNone, waiting = kNone, crashed = kNone, on = kNone, on_count = 0;
    for (u32 i = 0; exists(u64{i} + 1); ++i) {
        InferiorInfo const info = target_.inferior(i);
        if (!info.on) continue;
        if (is_attached(i) && held == kNone) held = i;
        if (info.waits && waiting == kNone) waiting = i;
        if (info.crashed && crashed == kNone) crashed = i;
        if (on_count++ == 0) on = i;
    }
    if (held != kNone) return held;
    if (waiting != kNone) return waiting;
    if (crashed != kNone) return crashed;
    return on_count == 1 ? on : kNone;
}

/// Attaches the candidate, which becomes the current inferior. Others that the last gdb held go on, for this
/// one does not know of them. @return false: there is nobody
bool Session::attach_candidate() {
    u32 const chosen = candidate();
    for (u32 i = 0; i < kMaxInferiors; ++i) {
        if (!is_attached(i) || i == chosen) continue;
        target_.detach(i);
        forget(i);
    }
    if (chosen == kNone) return false;
    current_ = chosen, vp_ = 0;
    if (is_attached(chosen)) {
        if ((going_ & bit(chosen)) != 0) target_.interrupt(chosen);
    } else {
        if (!target_.attach(chosen)) return false;
        wait_for(chosen);
    }
    return true;
}

/// `?`: tells the candidate's stop.
void Session::answer_query() {
    if (!attach_candidate()) return nobody();
    all_run(current_);
    owe(Owed::Query);
    if ((going_ & bit(current_)) == 0)
        stopped(current_, (kept_ & bit(current_)) != 0 ? inferiors_[current_].kept : Stop{});
}

void Session::attach(u32 index) {
    if (non_stop_) {
        if (!is_attached(index)) {
            if (!target_.attach(index)) return error();
            wait_for(index);
            silent_ |= bit(index);
        }
        return ok();
    }
    if (is_attached(index)) {
        owe(Owed::Attach);
        if ((going_ & bit(index)) != 0) return target_.interrupt(index);
        return stopped(index, (kept_ & bit(index)) != 0 ? inferiors_[index].kept : Stop{});
    }
    if (!target_.attach(index)) return error();
    wait_for(index);
    owe(Owed::Attach);
}

void Session::detach(Scanner words) {
    u64 pid = u64{current_} + 1;
    if (words.eat(';') && (!words.number(pid) || !exists(pid))) return error();
    u32 const index = static_cast<u32>(pid - 1);
    if (!is_attached(index)) return error();
    target_.detach(index);
    forget(index);
    ok();
}

void Session::kill(u32 index) {
    if (!is_attached(index)) return error();
    target_.kill(index);
    forget(index);
    current_ = index, vp_ = 0; // what `run` starts again
    ok();
}

/// `run`: the partition last looked at or killed, or the one whose name is given, from its first instruction.
void Session::run(Scanner words) {
    char name[64];
    usize used = 0;
    u8 c = 0;
    while (used < sizeof name && words.byte(c)) {
        name[used++] = static_cast<char>(c);
    }
    u32 index = current_;
    for (u32 i = 0; used != 0 && exists(u64{i} + 1); ++i) {
        if (target_.inferior(i).name == std::string_view{name, used}) index = i;
    }
    if (!exists(u64{index} + 1) || !target_.restart(index)) return error();
    wait_for(index);
    kept_ &= ~bit(index);
    current_ = index, vp_ = 0;
    owe(Owed::Run);
}

bool Session::thread_exists(ThreadId id) {
    u64 const pid = id.pid <= 0 ? u64{current_} + 1 : static_cast<u64>(id.pid);
    if (!exists(pid) || !is_attached(static_cast<u32>(pid - 1))) return false;
    return id.tid <= 0 || static_cast<u32>(id.tid) <= target_.inferior(static_cast<u32>(pid - 1)).vps;
}

/// H: `g` chooses what the next requests look at; `c` is for resumes older than vCont.
void Session::select(Scanner words) {
    if (words.eat('c')) return ok();
    ThreadId id;
    if (!words.eat('g') || !words.thread(id)) return error();
    u32 const index = id.pid <= 0 ? current_ : static_cast<u32>(id.pid - 1);
    if (id.pid > 0 && !exists(static_cast<u64>(id.pid))) return error();
    if (id.tid > 0) {
        if (!thread_exists(id)) return error();
        vp_ = static_cast<u32>(id.tid - 1);
    } else if (index != current_) {
        vp_ = 0;
    }
    current_ = index;
    ok();
}
} // namespace hv::gdb
