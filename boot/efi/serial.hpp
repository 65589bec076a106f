// SPDX-License-Identifier: Apache-2.0
// COM1, written directly: the one output that works before, during and after ExitBootServices. 115200 8N1,
// polled. Where there is no UART the writes go nowhere and nothing waits for long.
#pragma once
#include <string_view>

namespace ballast::loader {
class Serial {
  public:
    /// Programs speed and format and turns the UART's interrupts off.
    void open();

    /// Writes `text`; the caller supplies line ends.
    void write(std::string_view text);

    /// Returns when the last bit has left the UART (or none will ever leave).
    void drain();
};
} // namespace ballast::loader
