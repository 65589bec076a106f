// SPDX-License-Identifier: Apache-2.0
// One partition's life:
//
//   Off ──start──► Waiting (startup memory is collected) ──► Running ──power-off──► Off
//                                     ▲                        │ triple fault, refused state ──► Crashed
//                                     └──────── reset ─────────┘
//
// Held, it has a guest that does not run and whose clocks stand still: for the debugger, or after a crash
// that a debugger may want to look at.
//
// Everything happens on the physical CPU it is placed on, in its turn of that CPU's scheduler; other CPUs use
// its mailbox.
#pragma once
#include "hv/core/scheduler.hpp"
#include "hv/partition/debugger/debugger.hpp"
#include "hv/partition/guest.hpp"
#include "hv/partition/mailbox.hpp"

namespace hv::partition {
class Partition final : public Runnable, public GuestEvents {
  public:
    /// @param id dense, below kMaxPartitions
    Partition(PartitionConfig const& config, HostParts& host, u16 id, u32 cpu_index);
    Partition(Partition const&) = delete;
    Partition& operator=(Partition const&) = delete;

    std::string_view name() const { return config_.name; }
    PartitionConfig const& config() const { return config_; }
    Mailbox& mailbox() { return mailbox_; }
    u32 cpu_index() const { return cpu_index_; }
    /// Pages of startup memory; the hole of the legacy video memory is not among them.
    u64 startup_pages() const;
    /// Named counters for the operator. Any CPU: numbers may be a moment old, and stay after the partition
    /// has ended.
    u32 counters(std::span<mgmt::NamedCounter> into) const;
    /// The guest while it is powered on, or nullptr. Its own CPU, or one CPU alone (MemoryProof).
    Guest* guest() { return guest_; }
    mm::Owner owner() const { return mm::partition_owner(id_); }

    // The debugger's session, by Scheduler::call() on this partition's CPU.
    /// Lets the debugger in: it stops the guest. @return false when the partition is off
    bool debug_attach(Cpu&);
    /// The debugger is gone: the guest goes on as if it had never been there, unless it has crashed.
    void debug_detach(Cpu&);
    /// The debugger while it is attached, or nullptr.
    Debugger* debugger() { return debugger_ != nullptr && debugger_->attached() ? debugger_ : nullptr; }
    /// Starts or restarts it, to stand before its first instruction. @return false: no memory for the
    /// debugger
    bool debug_restart(Cpu&);
    void debug_interrupt(Cpu&);
    /// Lets the stopped guest go on, its state being on the CPU. A step makes its first entry here; few need
    /// another. @return it has stopped again, which the debugger's host is not told
    bool debug_resume(Cpu&, ResumeOrder const& order);
    /// Cuts its power.
    void debug_kill(Cpu&);
    /// Once after an attached guest's end.
    bool debug_take_end() { return std::exchange(debug_ended_, false); }
    /// Puts the guest's state on the CPU.
    void debug_load(Cpu&);

    // Runnable
    bool ready(u64 now_tsc) override;
    u64 wake_tsc() const override;
    void run(Cpu&, u64 until_tsc) override;
    void leave(Cpu&) override;

    // GuestEvents
    void guest_powered_off() override { note(Ending::PowerOff, "powered off"); }
    void guest_reset() override { note(Ending::Reset, "reset"); }
    void guest_failed(char const* why) override { note(Ending::Crash, why); }
    void guest_panicked() override;

  private:
    enum class Ending : u8 { None, PowerOff, Reset, Crash, Panic };
    enum class Hold : u8 {
        None,
        Waits,    ///< started with debug-wait: before its first instruction
        Crashed,  ///< cannot go on; kept as it was for a post-mortem look
        Panicked, ///< the same, but the guest would have more to do
    };

    static constexpr u32 kRestartsTold = 16;
    void note(Ending, char const* why);
    bool runs() const { return guest_ != nullptr && state_ != mgmt::RunState::Waiting; }
    /// Has a guest that must not be entered.
    bool held() const { return hold_ != Hold::None || (debugger_ != nullptr && debugger_->stopped()); }
    void stand_still();
    void go_on();
    bool make_debugger();
    void keep_crashed(Hold, char const* why);
    bool kept() const { return hold_ == Hold::Crashed || hold_ == Hold::Panicked; }
    bool work(Cpu&, u64 now_tsc);
    void take_request(Cpu&, mgmt::Request);
    void try_start(Cpu&);
    void restart(Cpu&);
    void boot(Cpu&);
    void stop(Cpu&, mgmt::RunState, char const* detail);
    void end_guest(Cpu&);
    void tick(Cpu&, u64 now_tsc);
    void take_order(dm::Order const&);
    void keep_counters();
    void publish();

    PartitionConfig const& config_;
    HostParts& host_;
    u16 id_;
    u32 cpu_index_;
    mm::KernelHeap heap_;
    mm::OwnedFrames frames_;
    Mailbox mailbox_;
    Guest* guest_ = nullptr;
    mgmt::RunState state_ = mgmt::RunState::Off;
    char const* detail_ = "never started";
    Ending ending_ = Ending::None;
    char const* ending_why_ = "";
    bool panicked_ = false;
    bool restarting_ = false;
    RateLimit restart_lines_{kRestartsTold}; ///< a guest may reset itself for ever; full again when asked for
    Hold hold_ = Hold::None;
    Debugger* debugger_ = nullptr; ///< made when one attaches first, kept for the next
    bool debug_ended_ = false;
    bool stop_at_boot_ = false; ///< debug_restart() waits for it
    u64 still_since_tsc_ = 0;   ///< when the guest's clocks were stopped; 0: they run
    u64 next_tick_tsc_ = 0;
    u64 waiting_since_tsc_ = 0;
    u64 waiting_for_pages_ = 0;
    u64 started_tsc_ = 0;
    u64 starts_ = 0, ends_ = 0, restarts_ = 0, panics_ = 0;
    u64 overhead_pages_ = 0;                           ///< host frames beside the guest's memory
    u64 ballooning_ticks_ = 0, giving_back_ticks_ = 0; ///< host TSC spent on moving the guest's memory
    // The last life's numbers, so that a test or an operator can read them after the end.
    VpCounters vp_counters_;
    dm::DmCounters dm_counters_;
    mm::GuestMemoryCounters memory_counters_;
    vmbus::VmbusCounters vmbus_counters_;
    hyperv::HypervCounters hyperv_counters_;
    platform::PortBus::Counters port_counters_;
    platform::MmioMap::Counters mmio_counters_;
    Debugger::Counters debug_counters_;
};
} // namespace hv::partition
