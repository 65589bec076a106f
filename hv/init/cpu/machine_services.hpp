// SPDX-License-Identifier: Apache-2.0
// HostServices on the real machine.
#pragma once
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/core/host_services.hpp"
#include "hv/init/cpu/clocks.hpp"
#include <array>

namespace hv::init {
class MachineServices final : public HostServices {
  public:
    static constexpr u32 kMaxCpus = 256;

    constexpr MachineServices() = default;
    /// Once, before anything else here. @p epoch_seconds of the Unix epoch at TSC @p epoch_tsc; 0: unknown.
    void start(Clocks const& clocks, FpuLayout const& fpu, u64 epoch_seconds, u64 epoch_tsc);
    /// A CPU that runs; in the order of their indexes. Start-up only.
    void add(Cpu& cpu);

    void kick(u32 index) override;
    void take_interrupts(Cpu&) override;
    void wait(Cpu&) override;
    std::span<Cpu* const> cpus() const override { return std::span{cpus_}.first(count_); }
    u64 now_tsc() const override { return arch::rdtsc(); }
    u64 tsc_hz() const override { return clocks_.tsc_hz; }
    u64 wall_clock() const override;
    FpuLayout const& fpu_layout() const override { return fpu_; }
    void save_fpu(FpuState& state) override;
    void load_fpu(FpuState const& state) override;
    void set_guest_xcr0(u64 xcr0) override { arch::xsetbv(0, xcr0); }
    u64 guest_xcr0() const override { return arch::xgetbv(0); }

  protected:
    void set_timer(Cpu&, u64 deadline_tsc) override;

  private:
    Clocks clocks_{};
    FpuLayout fpu_;
    u64 epoch_100ns_ = 0; ///< since 1601, at TSC 0 of epoch_tsc_
    u64 epoch_tsc_ = 0;
    u64 apic_per_tsc_ = 0;  ///< APIC timer ticks in a TSC tick, 32.32 fixed point
    u64 longest_ticks_ = 0; ///< of the TSC, that one count of the timer covers
    std::array<Cpu*, kMaxCpus> cpus_{};
    u32 count_ = 0;
};
} // namespace hv::init
