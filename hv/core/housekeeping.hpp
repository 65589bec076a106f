// SPDX-License-Identifier: Apache-2.0
// What the hypervisor does every so often besides running guests: poll the console, feed the balancer. Pure:
// time is a parameter. The run loop of one CPU owns it.
#pragma once
#include "hv/base/assert.hpp"
#include "hv/core/interrupt_sink.hpp"

namespace hv {
class Housekeeping {
  public:
    static constexpr unsigned kMaxJobs = 8;
    /// Does a bounded piece of work.
    /// @return host TSC ticks until it wants to be called again, 0 for its period
    using Job = u64 (*)(void* context, u64 now_tsc);

    /// Adds a job, first due at @p now_tsc + @p period_ticks. A job that ran late is not run twice for it.
    /// @return its number, for hurry()
    unsigned add(Job job, void* context, u64 period_ticks, u64 now_tsc) {
        HV_ASSERT(count_ < kMaxJobs && period_ticks != 0);
        unsigned const number = count_++;
        jobs_[number] = {job, context, period_ticks, now_tsc + period_ticks};
        update_due();
        return number;
    }
    /// Job number @p job is due at once. Any CPU; the caller kicks the one whose jobs these are.
    void hurry(unsigned job) { __atomic_fetch_or(&hurried_, 1u << job, __ATOMIC_RELEASE); }
    /// When run() has something to do; kNever without jobs. For the timer, and for one comparison an exit.
    u64 due_tsc() const { return __atomic_load_n(&hurried_, __ATOMIC_ACQUIRE) != 0 ? 0 : due_tsc_; }
    /// Runs what is due, who was hurried first, else in the order of add().
    void run(u64 now_tsc) {
        for (u32 left = __atomic_exchange_n(&hurried_, 0, __ATOMIC_ACQ_REL); left != 0; left &= left - 1) {
            // Its time may have been the earliest: then there is a look in vain.
            u64 const due_tsc = run_job(jobs_[__builtin_ctz(left)], now_tsc);
            due_tsc_ = due_tsc < due_tsc_ ? due_tsc : due_tsc_;
        }
        if (due_tsc_ > now_tsc) {
            return;
        }
        for (unsigned i = 0; i < count_; ++i) {
            if (jobs_[i].due_tsc <= now_tsc) {
                run_job(jobs_[i], now_tsc);
            }
        }
        update_due();
    }

  private:
    struct Entry {
        Job job;
        void* context;
        u64 period_ticks;
        u64 due_tsc;
    };
    static u64 run_job(Entry& entry, u64 now_tsc) {
        u64 const delay = entry.job(entry.context, now_tsc);
        return entry.due_tsc = now_tsc + (delay == 0 ? entry.period_ticks : delay);
    }
    void update_due() {
        due_tsc_ = kNever;
        for (unsigned i = 0; i < count_; ++i) {
            due_tsc_ = jobs_[i].due_tsc < due_tsc_ ? jobs_[i].due_tsc : due_tsc_;
        }
    }

    Entry jobs_[kMaxJobs] = {};
    unsigned count_ = 0;
    u32 hurried_ = 0; ///< bit n: job n, whatever its time
    u64 due_tsc_ = kNever;
};
} // namespace hv
