// SPDX-License-Identifier: Apache-2.0
// A GDB server's side of a line: requests in, replies and stops out, the machine behind a Target. All-stop,
// one inferior a partition, one thread a virtual processor. It trusts nobody: whatever comes in, partitions
// that are not attached do not notice.
//
//   qSupported ─→ owes nothing ⇄ owes a stop (after ?, vAttach, vRun, vCont, monitor reset) ─poll()→ T, W
//                                while it does only 0x03 counts, and a new gdb's qSupported
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
        Stop kept;           ///< to be told at the next resume
    };
    struct Action {
        Resume how;
        bool stop = false; ///< `t`
        ThreadId threads{ThreadId::kAll, ThreadId::kAll};
    };

    // session.cpp: requests by their first letter; what connects and lets go
    void command(std::string_view text);
    void connect(std::string_view features);
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
    /// It will stop, and that is told.
    void wait_for(u32 index) {
        attached_ |= bit(index), going_ |= bit(index);
        inferiors_[index].vps = target_.inferior(index).vps;
    }
    /// Nothing of the debugger is left in it.
    void forget(u32 index) { attached_ &= ~bit(index), going_ &= ~bit(index), kept_ &= ~bit(index); }
    static u64 bit(u32 index) { return u64{1} << index; }
    bool is_attached(u32 index) const { return (attached_ & bit(index)) != 0; }
    /// Attached and stopped: it can be looked at.
    bool standing() const { return (attached_ & ~going_ & bit(current_)) != 0; }
    bool exists(u64 pid);
    bool thread_exists(ThreadId id);
    void owe(Owed what) { owed_ = what, stopped_first_ = kNone, interrupted_ = false; }

    // session_resume.cpp
    void resume(std::string_view text);
    /// The same vCont as the last: actions_ holds what it asks for.
    bool resumes_as_before(std::string_view text) const {
        return actions_text_bytes_ != 0 && text == std::string_view{actions_text_, actions_text_bytes_};
    }
    bool read_actions(std::string_view text);
    Action const* action_for(u32 index, u32 vp) const;
    bool start(u32 index, u32 vps);
    void interrupt();
    void look_for_stops();
    void stopped(u32 index, Stop const& stop);
    void report(u32 index, Stop const& stop);
    Stop::Registers stop_registers();
    void report_end(u32 index);
    void hint(u32 bits);
    void put_thread(u32 index, u32 vp);

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
    bool interrupted_ = false;                                      ///< by 0x03 since it resumed
    Owed owed_ = Owed::Nothing;
    u32 stopped_first_ = kNone; ///< whose stop will be reported when the others stand
    u32 current_ = 0, vp_ = 0;  ///< Hg
    u64 attached_ = 0;          ///< a bit an inferior
    u64 going_ = 0;             ///< attached and not known to stand
    u64 kept_ = 0;              ///< with a Stop in `kept`
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
