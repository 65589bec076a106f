// SPDX-License-Identifier: Apache-2.0
// The firmware's text consoles, less the one on COM1: the loader writes that UART itself, and firmware such
// as OVMF would print every line there a second time.
#pragma once
#include "boot/efi/efi_api.hpp"
#include <array>
#include <cstddef>
#include <string_view>

namespace ballast::loader {
class Screens {
  public:
    /// Chooses the consoles. Needs boot services.
    void open();

    /// Writes ASCII `text` to each. Needs boot services.
    void write(std::string_view text);

  private:
    void add(SIMPLE_TEXT_OUTPUT_INTERFACE* screen);

    std::array<SIMPLE_TEXT_OUTPUT_INTERFACE*, 8> screens_{};
    std::size_t count_ = 0;
};
} // namespace ballast::loader
