// SPDX-License-Identifier: Apache-2.0
// The machine's console on COM1, and log_line() on top of it.
#pragma once
#include "drivers/uart/uart16550.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/init/console/console.hpp"

namespace hv::init {
using SerialConsole = Console<drivers::Uart16550<arch::RealCpu>>;
/// The one console. Usable before anything else runs, once start_console() was called.
SerialConsole& console();
/// Sets COM1 up, synchronous. A machine without one runs on, silently.
void start_console();
/// Whether LogLevel::Debug lines are shown; off at first.
void show_debug_lines(bool on);
} // namespace hv::init
