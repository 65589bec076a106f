// SPDX-License-Identifier: Apache-2.0
// Brings every other CPU to rest in its scheduler, so that one can look at everything at once.
#pragma once
#include "hv/core/host_services.hpp"

namespace hv {
class Rendezvous {
  public:
    explicit Rendezvous(HostServices& host) : host_{host} {}

    /// Runs @p work while every other CPU waits in pause_if_asked(). One caller at a time, from its
    /// scheduler's loop.
    template <class F>
    void alone(F&& work) {
        u32 const others = static_cast<u32>(host_.cpus().size()) - 1;
        __atomic_store_n(&waiting_, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&asked_, true, __ATOMIC_RELEASE);
        for (Cpu const* cpu : host_.cpus()) {
            host_.kick(cpu->index);
        }
        while (__atomic_load_n(&waiting_, __ATOMIC_ACQUIRE) != others) {
            __builtin_ia32_pause();
        }
        work();
        __atomic_store_n(&asked_, false, __ATOMIC_RELEASE);
        while (__atomic_load_n(&waiting_, __ATOMIC_ACQUIRE) != 0) {
            __builtin_ia32_pause();
        }
    }
    /// Every turn of every other CPU's scheduler.
    void pause_if_asked() {
        if (!__atomic_load_n(&asked_, __ATOMIC_ACQUIRE)) {
            return;
        }
        __atomic_fetch_add(&waiting_, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&asked_, __ATOMIC_ACQUIRE)) {
            __builtin_ia32_pause();
        }
        __atomic_fetch_sub(&waiting_, 1, __ATOMIC_ACQ_REL);
    }

  private:
    HostServices& host_;
    bool asked_ = false;
    u32 waiting_ = 0;
};
} // namespace hv
