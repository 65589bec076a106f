// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/machine_end.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/init/cpu/serial_console.hpp"

namespace hv::init {
namespace {
constexpr u16 kQemuDebugExit = 0x501, kBochsShutdown = 0x8900;
} // namespace

void machine_end(u32 code) {
    console().drain();
    // A real chipset may have its GPIOs at 500h: only under a hypervisor (QEMU sets the bit, TCG too).
    constexpr u32 kHypervisorPresent = 1u << 31;
    if ((arch::cpuid(1).ecx & kHypervisorPresent) != 0) {
        arch::out8(kQemuDebugExit, static_cast<u8>(code));
    }
    for (char c : std::string_view{"Shutdown"}) {
        arch::out8(kBochsShutdown, static_cast<u8>(c));
    }
    console().write_line("ballast: ", "it is now safe to switch the machine off");
    console().drain();
    halt_for_ever();
}

void halt_for_ever() {
    for (;;) {
        arch::cli();
        arch::hlt();
    }
}
} // namespace hv::init
