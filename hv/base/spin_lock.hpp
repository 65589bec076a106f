// SPDX-License-Identifier: Apache-2.0
// A ticket lock and its guard.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
/// Fair spin lock. Not recursive; the hypervisor runs with interrupts masked, so no interrupt handler
/// contends with its own CPU. The wait loop PAUSEs: emulated multi-processors hand over only there (QEMU
/// -icount).
class SpinLock {
  public:
    void lock() {
        u32 const ticket = __atomic_fetch_add(&next_, 1, __ATOMIC_RELAXED);
        while (__atomic_load_n(&serving_, __ATOMIC_ACQUIRE) != ticket) {
            __builtin_ia32_pause();
        }
    }
    void unlock() { __atomic_store_n(&serving_, serving_ + 1, __ATOMIC_RELEASE); }

  private:
    u32 next_ = 0;
    u32 serving_ = 0;
};

class [[nodiscard]] LockGuard {
  public:
    explicit LockGuard(SpinLock& lock) : lock_{lock} { lock_.lock(); }
    ~LockGuard() { lock_.unlock(); }
    LockGuard(LockGuard const&) = delete;
    LockGuard& operator=(LockGuard const&) = delete;

  private:
    SpinLock& lock_;
};
} // namespace hv
