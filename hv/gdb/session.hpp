// SPDX-License-Identifier: Apache-2.0
// A GDB server's side of a line: requests in, replies and stops out, the machine behind a Target. One
// inferior a partition, one thread a virtual processor. It trusts nobody: whatever comes in, partitions that
// are not attached do not notice.
//
//   qSupported ─→ owes nothing ⇄ owes a stop (after ?, vAttach, vRun, vCont, monitor reset) ─poll()→ T, W
//                                while it does only 0x03 counts, and a new gdb's qSupported
//
// In non-stop mode vCont and vAttach are answered at once and inferiors stop one by one:
//   a stop ─→ untold ─(none under way)→ %Stop ─→ vStopped ─→ the next of them … OK
#pragma once
#include "hv/gdb/packet_reader.hpp"
#include "hv/gdb/packet_writer.hpp"
#include "hv/gdb/register_layout.hpp"
#include "hv/gdb/scanner.hpp"
#include "hv/gdb/target.hpp"

namespace hv::gdb {
class Session {
  public:
    static constexpr u32 kMaxInferiors = 64;
    /// @param reliable_line the line loses nothing: gdb may do without acknowledgements
    explicit Session(Target& target, bool reliable_line = true)
        : target_{target}, reliable_line_{reliable_line} {}
    Session(Session const&) = delete;

    /// What the line brought, in any pieces.
    void receive(std::span<u8 const> bytes);
    /// Looks for stops that a reply is waiting for. @return something is pending
    bool poll() {
        if (going_ != 0) look_for_stops();
        return !out_.pending().empty();
    }
    /// What the line shall take, and how much of it it has.
    std::span<u8 const> pending() const { return out_.pending(); }
    void sent(usize bytes) { out_.sent(bytes); }
    /// Anybody attached: its partition stands or may stop any time.
    bool attached() const { return attached_ != 0; }

  private:
    static constexpr u32 kNone = ~0u;
    /// What the next stop is the answer to.
    enum class Owed : u8 { Nothing, Resumed, Query, Attach, Run, Reset };
    enum class ArchChoice : u8 { X64, I386, I8086, Auto };
    struct Inferior {
        Layout layout; ///< as served last
        ArchChoice choice = ArchChoice::X64;
        u8 hinted_bits = 64; ///< the width of code gdb's user was told about
        u32 vps = 0;         ///< while attached
        Stop kept;           ///< to be told at the next resume; non-stop: the last one
        // In non-stop mode, a bit a virtual processor (at most 64):
        u64 running = 0; ///< gdb has it go, and has not been told otherwise
        u64 untold = 0;  ///< it has stopped since, as `kept` says, and that is not told yet
    };
    struct Action {
        Resume how;
        bool stop = false; ///< `t`
        ThreadId threads{ThreadId::kAll, ThreadId::kAll};
    };

    // session.cpp: requests by their first letter; what connects and lets go
    void command(std::string_view text);
    void connect(std::string_view features);
    bool attach_candidate();
    void answer_query();
    void select(Scanner words);
    void attach(u32 index);
    void detach(Scanner words);
    void kill(u32 index);
    void run(Scanner words);
    void v_packet(std::string_view text);
    u32 candidate();
    void ok() { out_.packet("OK"); }
    void error(u8 number = 1);
    void unknown() { out_.packet(""); }
    /// Nobody is there to be looked at. In non-stop mode W would be somebody's end.
    void nobody() { out_.packet(non_stop_ ? "OK" : "W00"); }
    /// It will stop, and that is told.
    void wait_for(u32 index) {
        attached_ |= bit(index), going_ |= bit(index);
        inferiors_[index].vps = target_.inferior(index).vps;
        all_run(index);
    }
    /// Nothing of the debugger is left in it.
    void forget(u32 index) {
        attached_ &= ~bit(index), going_ &= ~bit(index), kept_ &= ~bit(index), untold_ &= ~bit(index);
        silent_ &= ~bit(index);
        inferiors_[index].running = inferiors_[index].untold = 0;
    }
    static u64 bit(u32 index) { return u64{1} << index; }
    bool is_attached(u32 index) const { return (attached_ & bit(index)) != 0; }
    /// Attached and stopped: its registers can be looked at.
    bool standing() const {
        return (attached_ & ~going_ & bit(current_)) != 0 ||
               (non_stop_ && is_attached(current_) && (inferiors_[current_].running & bit(vp_)) == 0);
    }
    /// Its memory and its points are there: in non-stop mode also while it goes.
    bool reachable() const { return non_stop_ ? is_attached(current_) : standing(); }
    bool exists(u64 pid);
    bool thread_exists(ThreadId id);
    void owe(Owed what) { owed_ = what, stopped_first_ = kNone, interrupted_ = 0; }

    // session_resume.cpp
    void resume(std::string_view text);
    /// The same vCont as the last: actions_ holds what it asks for.
    bool resumes_as_before(std::string_view text) const {
        return actions_text_bytes_ != 0 && text == std::string_view{actions_text_, actions_text_bytes_};
    }
    bool read_actions(std::string_view text);
    Action const* action_for(u32 index, u32 vp) const;
    u64 start(u32 index);
    void interrupt();
    void look_for_stops();
    void stopped(u32 index, Stop const& stop);
    void report(u32 index, Stop const& stop);
    void put_stop(u32 index, Stop const& stop, char signal, bool with_reason);
    void put_end(u32 index);
    Stop::Registers stop_registers(u32 index, u32 vp);
    void hint(u32 bits);
    void put_thread(u32 index, u32 vp);

    // session_non_stop.cpp
    void set_non_stop(bool on);
    void all_run(u32 index);
    void resume_non_stop();
    void interrupt_non_stop();
    void stopped_non_stop(u32 index, Stop const& stop);
    void notify();
    void next_stop();
    void tell_stop(char kind, u32 index);
    u64 to_tell() const { return untold_ & ~silent_; }

    // session_registers.cpp
    u64 read_u64(RegisterId id);
    u64 segment_base(RegisterId id, u32 code_bits);
    u64 to_linear(RegisterId id, u64 raw, u32 code_bits);
    void put_register(RegisterCursor const& r);
    bool write_register(RegisterCursor const& r, Scanner& digits);
    void read_registers();
    void write_registers(Scanner digits);
    void read_one(Scanner words);
    void write_one(Scanner words);

    // session_memory.cpp
    void read_memory(Scanner words);
    void write_memory(Scanner words, bool binary);
    void point(Scanner words, bool insert);
    std::span<u8> take_conditions(Scanner words);

    // session_query.cpp
    void query(Scanner words);
    void transfer(Scanner words);
    void put_threads(class DocumentWindow& out);
    void put_memory_map(class DocumentWindow& out);
    void put_processes(class DocumentWindow& out);
    Layout chosen_layout();

    // session_monitor.cpp
    void monitor(Scanner digits);
    void monitor_words(std::string_view text, class MonitorOutput& out);
    void monitor_arch(Scanner words, class MonitorOutput& out);
    void monitor_map(class MonitorOutput& out);
    void reset_done(bool ended);

    // Small members first, in reach of short instructions.
    Target& target_;
    bool const reliable_line_;
    bool multiprocess_ = false, swbreak_ = false, hwbreak_ = false; ///< what this gdb named
    bool physical_ = false;                                         ///< `monitor phys on`
    bool non_stop_ = false;
    bool first_only_ = false; ///< vStopped behind `?` gets nothing
    bool notifying_ = false;  ///< a %Stop is out, and vStopped has not been answered OK since
    Owed owed_ = Owed::Nothing;
    u32 stopped_first_ = kNone; ///< whose stop will be reported when the others stand
    u32 current_ = 0, vp_ = 0;  ///< Hg
    u64 attached_ = 0;          ///< a bit an inferior
    u64 going_ = 0;             ///< attached and not known to stand
    u64 kept_ = 0;              ///< with a Stop in `kept` that keeps it from going
    u64 untold_ = 0;            ///< non-stop: with somebody `untold`
    u64 silent_ = 0;            ///< non-stop: attached, and gdb has not asked yet that it stop
    u64 interrupted_ = 0;       ///< by 0x03 or vCtrlC since it resumed
    u32 resumed_last_ = 0;      ///< non-stop: whom vCtrlC is for
    Stop first_stop_;
    PacketWriter out_;
    PacketReader in_;
    Inferior inferiors_[kMaxInferiors];
    static constexpr u32 kMaxActions = 16;
    Action actions_[kMaxActions];
    u32 action_count_ = 0;
    /// What actions_ was read from: who steps asks for the same again and again. No more than fits is kept.
    char actions_text_[32];
    u32 actions_text_bytes_ = 0; ///< 0: none
    static constexpr u32 kMaxRegions = 256;
    MemoryRegion regions_[kMaxRegions];
};
} // namespace hv::gdb
