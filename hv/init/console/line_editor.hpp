// SPDX-License-Identifier: Apache-2.0
// Turns the bytes an operator types into lines: backspace, Ctrl-U, Ctrl-C, CR, LF or CR LF at the end.
#pragma once
#include "hv/base/types.hpp"
#include <array>
#include <optional>
#include <string_view>

namespace hv::init {
class LineEditor {
  public:
    static constexpr usize kMaxLineBytes = 240;

    /// Takes one byte.
    /// @return the line it completes, without its end; valid until the next call. Empty lines are lines too.
    /// Control characters that mean nothing here and bytes past kMaxLineBytes are ignored (the bell says so
    /// in echo()).
    std::optional<std::string_view> put(u8 byte);

    /// What a terminal should show for the last byte; for a caller that echoes.
    std::string_view echo() const { return echo_; }

  private:
    void clear_shown();

    std::array<char, kMaxLineBytes> line_{};
    usize used_ = 0;
    bool after_return_ = false; ///< a line feed now belongs to the last carriage return
    bool finished_ = false;     ///< line_ was handed out and starts anew with the next byte
    std::array<char, 3 * kMaxLineBytes> erase_{};
    std::string_view echo_;
};
} // namespace hv::init
