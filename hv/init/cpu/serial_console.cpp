// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/serial_console.hpp"
#include "hv/base/log.hpp"

namespace hv {
namespace init {
namespace {
constexpr u32 kBaud = 115200;
constinit SerialConsole the_console{drivers::Uart16550<arch::RealCpu>{{}, drivers::uart::kCom1}};
constinit bool port_answers = false;
constinit bool debug_shown = false;

constexpr std::string_view prefix_of(LogLevel level) {
    switch (level) {
    case LogLevel::Debug: return "ballast: debug: ";
    case LogLevel::Info: return "ballast: ";
    case LogLevel::Warning: return "ballast: warning: ";
    case LogLevel::Error: return "ballast: error: ";
    }
    return "ballast: ";
}
} // namespace

SerialConsole& console() {
    return the_console;
}
void start_console() {
    port_answers = the_console.port().initialise(kBaud);
    the_console.set_synchronous(true);
}
void show_debug_lines(bool on) {
    debug_shown = on;
}
} // namespace init

void log_line(LogLevel level, std::string_view line) {
    if (init::port_answers && (level != LogLevel::Debug || init::debug_shown)) {
        init::console().write_line(init::prefix_of(level), line);
    }
}
} // namespace hv
