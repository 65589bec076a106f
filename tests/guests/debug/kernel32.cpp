// SPDX-License-Identifier: Apache-2.0
// The 32-bit multiboot kernel for debugger tests: an ELF32, so gdb works with 32-bit registers.
#include "common.hpp"

extern "C" {
void kernel_main() {
    command_loop();
}

bool run_more(Command) {
    return false;
}

void idle() {
    asm volatile("pause");
}
}
