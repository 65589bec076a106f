// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/machine_services.hpp"
#include "hv/init/boot/tsc_rate.hpp"
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/init/cpu/local_apic.hpp"
#include "hv/init/cpu/processor_state.hpp"
#include <algorithm>

extern "C" void hv_wait_for_work(hv::Cpu*);

namespace hv::init {
namespace {
constexpr u64 kHundredNsPerSecond = 10'000'000;
constexpr u64 kSeconds1601To1970 = 11'644'473'600;
constexpr u64 kSeconds1970To2000 = 946'684'800;

struct RealFpu {
    void xsave64(void* to, u64 mask) { arch::xsave64(to, mask); }
    void xrstor64(void const* from, u64 mask) { arch::xrstor64(from, mask); }
    void fxsave64(void* to) { arch::fxsave64(to); }
    void fxrstor64(void const* from) { arch::fxrstor64(from); }
    void fninit() { arch::fninit(); }
    u64 xgetbv(u32 index) { return arch::xgetbv(index); }
    void xsetbv(u32 index, u64 v) { arch::xsetbv(index, v); }
};
static_assert(FpuOps<RealFpu>);
} // namespace

void MachineServices::start(Clocks const& clocks, FpuLayout const& fpu, u64 epoch_seconds, u64 epoch_tsc) {
    clocks_ = clocks;
    fpu_ = fpu;
    u64 const seconds = epoch_seconds != 0 ? epoch_seconds : kSeconds1970To2000;
    epoch_100ns_ = (seconds + kSeconds1601To1970) * kHundredNsPerSecond;
    epoch_tsc_ = epoch_tsc;
    apic_per_tsc_ = std::max<u64>(1, scale(u64{1} << 32, clocks.apic_timer_hz, clocks.tsc_hz));
    // Half of what the 32-bit counter holds, and of what the multiplication in set_timer() holds.
    longest_ticks_ = (u64{1} << 63) / apic_per_tsc_;
}

void MachineServices::add(Cpu& cpu) {
    HV_ASSERT(count_ < kMaxCpus && cpu.index == count_);
    cpus_[count_] = &cpu;
    __atomic_store_n(&count_, count_ + 1, __ATOMIC_RELEASE);
}

void MachineServices::set_timer(Cpu& cpu, u64 deadline_tsc) {
    u64 const now = arch::rdtsc();
    u64 const ticks = deadline_tsc > now ? std::min(deadline_tsc - now, longest_ticks_) : 0;
    cpu.armed_deadline_tsc = now + ticks;
    // One more, so that the deadline is past when the interrupt comes; never 0, which would stop the timer.
    local_apic().start_timer(static_cast<u32>((ticks * apic_per_tsc_) >> 32) + 1);
}

void MachineServices::kick(u32 index) {
    HV_ASSERT(index < count_);
    Cpu& cpu = *cpus_[index];
    if (CpuLocal const* const here = this_cpu(); here != nullptr && &here->cpu == &cpu) {
        __atomic_store_n(&cpu.kicked, 1, __ATOMIC_RELAXED);
    } else {
        local_apic().send_nmi(cpu.apic_id);
    }
}

void MachineServices::take_interrupts(Cpu&) {
    arch::sti();
    arch::nop(); // STI holds interrupts off for one instruction
    arch::cli();
}

void MachineServices::wait(Cpu& cpu) {
    hv_wait_for_work(&cpu);
    __atomic_exchange_n(&cpu.kicked, 0, __ATOMIC_SEQ_CST); // before the caller looks for work
}

u64 MachineServices::wall_clock() const {
    return epoch_100ns_ + scale(arch::rdtsc() - epoch_tsc_, kHundredNsPerSecond, clocks_.tsc_hz);
}

void MachineServices::save_fpu(FpuState& state) {
    RealFpu ops;
    hv::save_fpu(ops, fpu_, state);
}
void MachineServices::load_fpu(FpuState const& state) {
    RealFpu ops;
    hv::load_fpu(ops, fpu_, state);
}
} // namespace hv::init
