// SPDX-License-Identifier: Apache-2.0
// The start-up order, from the loader's jump to the run loops.
#include "hv/base/log.hpp"
#include "hv/init/cpu/machine_end.hpp"
#include "hv/init/cpu/serial_console.hpp"
#include "hv/init/machine.hpp"

extern "C" {
void hv_main(hv::init::BootInfo const* record);
[[noreturn]] void hv_continue_on(hv::u64 stack_top, void (*next)());
}

namespace hv::init {
namespace {
constinit Machine machine;

constexpr u64 kConsolePeriodUs = 10'000, kConsoleBusyUs = 1'000;

/// Housekeeping job: the console.
u64 poll_console(void*, u64) {
    bool const more = console().poll();
    return more ? machine.services.tsc_hz() / 1'000'000 * kConsoleBusyUs : 0;
}

/// What the operator types, as long as nobody else listens.
void take_line(void*, std::string_view line) {
    if (line == "off") {
        log_info("switching off");
        machine_end(0);
    } else if (line == "crash") {
        HV_ASSERT(line != "crash");
    } else if (line == "cpus") {
        for (Cpu const* cpu : machine.services.cpus()) {
            log_info("CPU {}: APIC id {}, node {}, {} timer interrupts, {} NMIs, {} spurious", cpu->index,
                     cpu->apic_id, cpu->node, cpu->timer_interrupts, cpu->nmis, cpu->spurious_interrupts);
        }
    } else if (!line.empty()) {
        log_info("unknown command; known are: off, crash, cpus");
    }
}

[[noreturn]] void idle(Cpu& cpu) {
    for (;;) {
        if (cpu.index == 0) {
            if (u64 const now = arch::rdtsc(); now >= machine.housekeeping.due_tsc()) {
                machine.housekeeping.run(now);
            }
            machine.services.arm_timer(cpu, machine.housekeeping.due_tsc());
        }
        machine.services.wait(cpu);
    }
}

void run_on_own_stack() {
    reclaim_loader_memory(machine);
    start_processors(machine);
    log_machine(machine);

    u64 const hz = machine.services.tsc_hz();
    machine.housekeeping.add(poll_console, nullptr, hz / 1'000'000 * kConsolePeriodUs, arch::rdtsc());
    console().on_line(take_line, nullptr);
    console().set_synchronous(false);
    release_processors(machine.services, idle);
    log_info("ready");
    idle(machine.boot_cpu.cpu);
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
