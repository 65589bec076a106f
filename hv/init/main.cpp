// SPDX-License-Identifier: Apache-2.0
// The start-up order, from the loader's jump to the run loops.
#include "hv/base/log.hpp"
#include "hv/init/cpu/machine_end.hpp"
#include "hv/init/cpu/provoke.hpp"
#include "hv/init/cpu/serial_console.hpp"
#include "hv/init/guests/guests.hpp"
#include "hv/init/machine.hpp"

extern "C" {
void hv_main(hv::init::BootInfo const* record);
[[noreturn]] void hv_continue_on(hv::u64 stack_top, void (*next)());
}

namespace hv::init {
namespace {
constinit Machine machine;

constexpr u64 kConsolePeriodUs = 10'000, kConsoleBusyUs = 1400; // 16 bytes take 1.39 ms at 115200

/// Housekeeping job: the console.
u64 poll_console(void*, u64) {
    bool const more = console().poll();
    return more ? machine.services.tsc_hz() / 1'000'000 * kConsoleBusyUs : 0;
}

void run_on_own_stack() {
    reclaim_loader_memory(machine);
    start_processors(machine);
    log_machine(machine);

    u64 const hz = machine.services.tsc_hz();
    machine.housekeeping.add(poll_console, nullptr, hz / 1'000'000 * kConsolePeriodUs, arch::rdtsc());
    enable_virtualization(machine, 0);
    prepare_guests(machine);
    console().set_synchronous(false);
    release_processors(machine.services, run_guests);
    log_info("ready");
    run_guests(machine.boot_cpu.cpu);
}
} // namespace
} // namespace hv::init

/// Entered from entry.S on the loader's stack and page tables, interrupts off.
void hv_main(hv::init::BootInfo const* record) {
    using namespace hv::init;
    start_traces(machine, *record);
    hv::log_info("Ballast starts");
    start_memory(machine);
    hv_continue_on(stack_of(0, StackKind::Main).top, run_on_own_stack);
}
