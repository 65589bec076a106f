// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/console.hpp"

#include "boot/efi/cpu_ops.hpp"
#include "boot/efi/screens.hpp"
#include "boot/efi/serial.hpp"

namespace ballast::loader {
namespace {
constexpr std::string_view kPrefix = "ballast: loader: ";

// How the emulators' runs end (README): QEMU's isa-debug-exit leaves with status 2 * value + 1, Bochs at the
// last letter.
constexpr std::uint16_t kQemuDebugExit = 0x501;
constexpr std::uint8_t kQemuExitFailed = 0x21;
constexpr std::uint16_t kBochsShutdown = 0x8900;
constexpr std::string_view kBochsShutdownWord = "Shutdown";

struct Console {
    Serial serial;
    Screens screens;
    bool screen_open = false;
};
constinit Console console;

[[noreturn]] void stop() {
    disable_interrupts();
    console.serial.drain(); // an emulator that ends drops what the UART still holds
    out8(kQemuDebugExit, kQemuExitFailed);
    for (char const c : kBochsShutdownWord)
        out8(kBochsShutdown, static_cast<std::uint8_t>(c));
    for (;;)
        halt();
}
} // namespace

void open_console() {
    console.serial.open();
    console.screens.open();
    console.screen_open = true;
}

void leave_screen() {
    console.screen_open = false;
}

void say_line(std::string_view text) {
    for (std::string_view const part : {kPrefix, text, std::string_view{"\r\n"}}) {
        console.serial.write(part);
        if (console.screen_open) console.screens.write(part);
    }
}

void fail_line(std::string_view text) {
    Line line;
    line << "error: " << text;
    say_line(line.text());
    stop();
}
} // namespace ballast::loader
