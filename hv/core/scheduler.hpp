// SPDX-License-Identifier: Apache-2.0
// One physical CPU's run queue. What is ready takes turns of at most a slice; when nothing is, the CPU halts
// until the earliest moment anybody asked for, or a kick.
#pragma once
#include "hv/base/spin_lock.hpp"
#include "hv/core/host_services.hpp"
#include "hv/core/housekeeping.hpp"
#include "hv/core/rendezvous.hpp"

namespace hv {
/// Something that takes turns on a physical CPU: a virtual processor. All calls on that CPU, interrupts
/// masked.
class Runnable {
  public:
    virtual ~Runnable() = default;
    /// Whether run() has something to do at host TSC @p now_tsc.
    virtual bool ready(u64 now_tsc) = 0;
    /// When it will be ready by itself (a timer), kNever for not without a kick.
    virtual u64 wake_tsc() const = 0;
    /// Works until host TSC @p until_tsc, or returns earlier when it has nothing to do any more.
    virtual void run(Cpu&, u64 until_tsc) = 0;
    /// Another one is about to run here: take guest state (FPU, control structures) off the CPU.
    virtual void leave(Cpu&) = 0;
};

class Scheduler {
  public:
    static constexpr u32 kMaxRunnables = 64;
    static constexpr u64 kSliceMilliseconds = 10;

    Scheduler(Cpu& cpu, HostServices& host) : cpu_{cpu}, host_{host} {}

    /// Adds to the queue; any CPU. The caller kicks. @return false when the queue is full
    bool add(Runnable&);
    /// This CPU's own work besides guests; set before loop().
    void set_housekeeping(Housekeeping& jobs) { housekeeping_ = &jobs; }
    /// Where this CPU rests when another wants the machine alone; not for the CPU that asks. Set before
    /// loop().
    void set_rendezvous(Rendezvous& rendezvous) { rendezvous_ = &rendezvous; }
    /// Runs for ever.
    [[noreturn]] void loop();
    /// One turn of the loop: the part that tests drive.
    void turn();

    /// Runs @p job(Cpu&) on this scheduler's CPU, between two turns, and returns when it is done. From the
    /// housekeeping of one CPU at a time, which may be this one: the debugger looks at a virtual processor
    /// where it is loaded. The job must not wait for the caller.
    template <class F>
    void call(Cpu const& caller, F&& job) {
        if (caller.index == cpu_.index) {
            job(cpu_);
            return;
        }
        post_call([](void* context, Cpu& cpu) { (*static_cast<F*>(context))(cpu); }, &job);
    }
    /// Makes @p runnable the one whose state may be put on this CPU. On this CPU, from a call().
    void make_room_for(Runnable& runnable) {
        if (loaded_ != &runnable) change_loaded(runnable);
    }

    u32 load() const { return count_; } ///< runnables placed here
    Cpu& cpu() { return cpu_; }

  private:
    using Call = void (*)(void* context, Cpu&);
    void post_call(Call, void* context);
    void answer_call();

    void change_loaded(Runnable& runnable);
    Runnable* pick(u64 now_tsc);
    u64 earliest_wake() const;

    Cpu& cpu_;
    HostServices& host_;
    Housekeeping* housekeeping_ = nullptr;
    Rendezvous* rendezvous_ = nullptr;
    SpinLock lock_; ///< guards the two below against add() from another CPU
    Runnable* queue_[kMaxRunnables] = {};
    u32 count_ = 0;
    u32 next_ = 0;
    Runnable* loaded_ = nullptr; ///< whose state is on the CPU
    Call call_ = nullptr;        ///< what another CPU waits for; with its context
    void* call_context_ = nullptr;
};
} // namespace hv
