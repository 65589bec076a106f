// SPDX-License-Identifier: Apache-2.0
// A partition's Hyper-V interface: CPUID leaves, synthetic MSRs, hypercalls, SynIC and synthetic timers.
// The exit router hands guest requests in; VMBus uses it to reach the guest.
#pragma once
#include "hv/hyperv/connections.hpp"
#include "hv/hyperv/cpuid_leaves.hpp"
#include "hv/hyperv/synic.hpp"
#include "hv/hyperv/synthetic_timers.hpp"

namespace hv::hyperv {
inline constexpr u32 kMaxVps = 64;

/// A virtual processor's part of the interface; the partition provides the storage, one a processor.
struct HypervVp {
    Synic synic;
    SyntheticTimers timers;
    u64 vp_assist_page = 0;
};

struct HypervSetup {
    GuestAccess& memory;
    InterruptSink& interrupts;
    PartitionClock const& clock;
    std::span<HypervVp> vps; ///< 1 … kMaxVps, index = VP index; outlives the interface
    /// VMCALL or VMMCALL, whichever this machine's guests must use.
    std::array<u8, 3> hypercall_instruction{};
    u64 apic_hz = 0; ///< frequency of the guest's local APIC timer before its divider
    u32 guest_physical_bits = 40;
    CrashSink* crash_sink = nullptr; ///< may be absent
};

enum class MsrResult : u8 {
    Handled,
    Fault,  ///< inject #GP(0)
    NotMine ///< outside the synthetic range
};

struct HypercallResult {
    bool invalid_opcode = false; ///< inject #UD: the guest has not enabled the interface
    u64 value = 0;               ///< for RAX (EDX:EAX of a 32-bit caller)
};

/// One per partition. Nothing allocates or waits. Every call is made under the partition's lock and on a
/// physical processor where its guest memory is reachable; `vp` is a VP index below the number given at
/// construction. Guest errors are faults, statuses and counters.
/// Source: TLFS; what stock Linux needs of it, hv/hyperv/README.md.
class HypervInterface {
  public:
    explicit HypervInterface(HypervSetup const& setup);

    /// Names who takes posted messages and signalled events; until then no connection exists.
    void connect(PostSink& posts, EventSink& events);

    /// Power-on state for the partition (@ref reset) or for one processor (INIT). Counters stay.
    void reset();
    void reset_vp(u32 vp);

    /// Answers the leaves 0x40000000 … 0x4fffffff; other leaves are not ours.
    bool cpuid(u32 leaf, CpuidRegs& regs) const {
        if (leaf - cpuid::kFirstLeaf >= cpuid::kLeaves) {
            if (leaf >> 28 != 4) return false;
            regs = {};
            return true;
        }
        regs = leaves_[leaf - cpuid::kFirstLeaf];
        return true;
    }
    /// The same leaves as a table, for a CpuidPolicy that answers everything.
    std::span<CpuidRegs const> cpuid_leaves() const { return leaves_; }

    MsrResult read_msr(u32 vp, u32 index, u64& value);
    MsrResult write_msr(u32 vp, u32 index, u64 value);

    /// A VMCALL/VMMCALL at CPL 0 (the caller has checked). A 64-bit caller's RCX, RDX, R8; a 32-bit caller's
    /// EDX:EAX, EBX:ECX, EDI:ESI.
    HypercallResult hypercall(u32 vp, u64 control, u64 input, u64 output);

    /// When on_time() is due for @p vp: reference time, or kNever.
    u64 next_deadline(u32 vp) const { return setup_.vps[vp].timers.next_deadline(); }
    /// Fires the timers of @p vp whose time has come. Early calls do nothing.
    void on_time(u32 vp, u64 now_100ns) { setup_.vps[vp].timers.on_time(now_100ns); }
    /// Delivers messages whose slot is free by now: for a guest that freed it and did not write EOM.
    void deliver_waiting(u32 vp) {
        HypervVp& v = setup_.vps[vp];
        if (v.synic.waiting() || v.timers.waiting()) pump(v);
    }
    /// Whether the guest will not end the interrupt @p vector: it is over when it has been delivered.
    bool auto_eoi(u32 vp, u8 vector) const { return setup_.vps[vp].synic.auto_eoi(vector); }

    /// A message for the guest; waits in order until its slot is free. @p payload at most 240 bytes.
    PostStatus post_message(u32 vp, u32 sint, u32 type, std::span<u8 const> payload);
    SignalStatus signal_event(u32 vp, u32 sint, u32 flag);
    /// How many more messages can wait. One that can be delivered at once needs room as well.
    usize message_room() const { return environment_.pool.room(); }
    /// Drops the messages that wait for @p sint of any processor.
    void discard_messages(u32 sint);

    u32 vp_count() const { return static_cast<u32>(setup_.vps.size()); }
    /// The guest has said what it is, and hypercalls are on.
    bool hypercalls_enabled() const { return page_msr::Enable::get(hypercall_msr_) != 0; }
    /// Writes the reference TSC page again after a jump of the guest's TSC.
    void refresh_reference_page();

    HypervCounters const& counters() const { return environment_.counters; }

  private:
    bool read_known_msr(u32 vp, u32 index, u64& value);
    bool write_known_msr(u32 vp, u32 index, u64 value);
    void write_guest_os_id(u64 value);
    bool write_hypercall_msr(u64 value);
    void write_reference_tsc(u64 value);
    void write_vp_assist_page(HypervVp& vp, u64 value);
    void report_crash(u64 control);
    void pump(HypervVp& vp);
    HypercallStatus dispatch(u32 vp, u64 control, u64 input);
    HypercallStatus post_message_call(u32 vp, u64 control, u64 input);
    HypercallStatus signal_event_call(u32 vp, u64 control, u64 input);

    HypervSetup setup_;
    HypervEnvironment environment_;
    std::array<CpuidRegs, cpuid::kLeaves> leaves_;
    PostSink* posts_ = nullptr;
    EventSink* events_ = nullptr;
    u64 guest_os_id_ = 0;
    u64 hypercall_msr_ = 0;
    u64 reference_tsc_msr_ = 0;
    u64 tsc_invariant_control_ = 0;
    std::array<u64, 5> crash_parameters_{};
    u32 reference_sequence_ = 0;
    std::array<char, kPageBytes> crash_text_{};
};
} // namespace hv::hyperv
