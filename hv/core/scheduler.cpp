// SPDX-License-Identifier: Apache-2.0
#include "hv/core/scheduler.hpp"

namespace hv {
bool Scheduler::add(Runnable& runnable) {
    LockGuard guard{lock_};
    u32 const count = __atomic_load_n(&count_, __ATOMIC_RELAXED);
    if (count == kMaxRunnables) {
        return false;
    }
    queue_[count] = &runnable;
    // The loop reads without the lock: the entry must be there before the count says so.
    __atomic_store_n(&count_, count + 1, __ATOMIC_RELEASE);
    return true;
}

Runnable* Scheduler::pick(u64 now_tsc) {
    u32 const count = __atomic_load_n(&count_, __ATOMIC_ACQUIRE);
    for (u32 i = 0; i < count; ++i) {
        u32 const at = (next_ + i) % count;
        if (queue_[at]->ready(now_tsc)) {
            next_ = at + 1;
            return queue_[at];
        }
    }
    return nullptr;
}

u64 Scheduler::earliest_wake() const {
    u32 const count = __atomic_load_n(&count_, __ATOMIC_ACQUIRE);
    u64 earliest = kNever;
    for (u32 i = 0; i < count; ++i) {
        u64 const wake = queue_[i]->wake_tsc();
        if (wake < earliest) {
            earliest = wake;
        }
    }
    return earliest;
}

void Scheduler::change_loaded(Runnable& runnable) {
    if (loaded_ != nullptr) {
        loaded_->leave(cpu_);
    }
    loaded_ = &runnable;
}

void Scheduler::post_call(Call job, void* context) {
    call_context_ = context;
    __atomic_store_n(&call_, job, __ATOMIC_RELEASE);
    host_.kick(cpu_.index);
    while (__atomic_load_n(&call_, __ATOMIC_ACQUIRE) != nullptr) {
        __builtin_ia32_pause();
    }
}

void Scheduler::answer_call() {
    Call const job = __atomic_load_n(&call_, __ATOMIC_ACQUIRE);
    if (job != nullptr) {
        job(call_context_, cpu_);
        __atomic_store_n(&call_, nullptr, __ATOMIC_RELEASE);
    }
}

void Scheduler::turn() {
    // What a kick announces is looked at from here on; one that comes later ends the run or the wait. No look
    // may come before this: its kick would be forgotten.
    __atomic_exchange_n(&cpu_.kicked, 0, __ATOMIC_SEQ_CST);
    if (rendezvous_ != nullptr) {
        rendezvous_->pause_if_asked();
    }
    answer_call();
    u64 now = host_.now_tsc();
    if (housekeeping_ != nullptr && now >= housekeeping_->due_tsc()) {
        housekeeping_->run(now);
        now = host_.now_tsc();
    }
    u64 const limit = housekeeping_ != nullptr ? housekeeping_->due_tsc() : kNever;
    Runnable* const chosen = pick(now);
    if (chosen == nullptr) {
        u64 const wake = earliest_wake();
        host_.arm_timer(cpu_, wake < limit ? wake : limit);
        host_.wait(cpu_);
        return;
    }
    make_room_for(*chosen);
    u64 const slice_end = now + host_.tsc_hz() / 1000 * kSliceMilliseconds;
    chosen->run(cpu_, slice_end < limit ? slice_end : limit);
}

void Scheduler::loop() {
    for (;;) {
        turn();
    }
}
} // namespace hv
