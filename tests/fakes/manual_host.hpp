// SPDX-License-Identifier: Apache-2.0
// The machine's services for tests: time stands until told, and what was asked is remembered.
#pragma once
#include "hv/core/host_services.hpp"
#include <vector>

namespace hv::test {
class ManualHost : public HostServices {
  public:
    explicit ManualHost(u32 cpu_count = 1) : storage_(cpu_count) {
        for (u32 i = 0; i < cpu_count; ++i) {
            storage_[i].index = i;
            cpus_.push_back(&storage_[i]);
        }
    }
    Cpu& cpu(u32 index = 0) { return storage_[index]; }

    void kick(u32 index) override {
        kicks.push_back(index);
        storage_[index].kicked = 1;
    }
    void take_interrupts(Cpu&) override { ++interrupts_taken; }
    /// Time passes to the armed deadline, if there is one.
    void wait(Cpu& cpu) override {
        ++waits;
        if (cpu.kicked == 0 && cpu.armed_deadline_tsc != kNever && cpu.armed_deadline_tsc > tsc) {
            tsc = cpu.armed_deadline_tsc;
        }
        cpu.kicked = 0;
        cpu.armed_deadline_tsc = kNever;
    }
    std::span<Cpu* const> cpus() const override { return cpus_; }
    u64 now_tsc() const override { return tsc; }
    u64 tsc_hz() const override { return hz; }
    u64 wall_clock() const override { return wall; }
    FpuLayout const& fpu_layout() const override { return layout; }
    void save_fpu(FpuState&) override { ++fpu_saves; }
    void load_fpu(FpuState const&) override { ++fpu_loads; }
    void set_guest_xcr0(u64 xcr0) override { guest_xcr0_value = xcr0; }
    u64 guest_xcr0() const override { return guest_xcr0_value; }

    u64 tsc = 5'000'000'000, hz = 2'000'000'000, wall = 134'000'000'000'000'000;
    FpuLayout layout;
    std::vector<u64> armed;
    std::vector<u32> kicks;
    u64 waits = 0, interrupts_taken = 0, fpu_saves = 0, fpu_loads = 0, guest_xcr0_value = 1;

  protected:
    void set_timer(Cpu& cpu, u64 deadline_tsc) override {
        cpu.armed_deadline_tsc = deadline_tsc;
        armed.push_back(deadline_tsc);
    }

  private:
    std::vector<Cpu> storage_;
    std::vector<Cpu*> cpus_;
};
} // namespace hv::test
