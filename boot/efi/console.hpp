// SPDX-License-Identifier: Apache-2.0
// What the loader tells a person: every line goes to COM1 and to the firmware's screens. All failures of the
// loader end in fail(): the message, then a stop that an emulator's user or test sees as the end of the run.
#pragma once
#include "boot/efi/line.hpp"

namespace ballast::loader {
/// Opens both outputs. Before this, say() and fail() must not be called.
void open_console();

/// Boot services are about to end: from here on only COM1 is written.
void leave_screen();

/// Prints one line, prefixed with who speaks.
void say_line(std::string_view text);

/// Prints an error and stops the machine.
[[noreturn]] void fail_line(std::string_view text);

/// say("memory: ", mebibytes, " MiB"): strings and unsigned numbers, one line.
template <class... Parts>
void say(Parts const&... parts) {
    Line line;
    (line << ... << parts);
    say_line(line.text());
}

/// Says what is wrong, where, and what to do; then stops.
template <class... Parts>
[[noreturn]] void fail(Parts const&... parts) {
    Line line;
    (line << ... << parts);
    fail_line(line.text());
}
} // namespace ballast::loader
