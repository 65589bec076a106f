// SPDX-License-Identifier: Apache-2.0
// One line of text for a person: strings and numbers appended to a fixed buffer, without allocation. Text
// that does not fit is cut and marked with "...". Pure: host-compiled and unit-tested.
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ballast::loader {
/// A number to print as 0x… in lower-case hexadecimal.
struct Hex {
    std::uint64_t value;
};

class Line {
  public:
    static constexpr std::size_t kCapacity = 480;

    Line& operator<<(std::string_view text);
    Line& operator<<(Hex number);
    Line& operator<<(std::unsigned_integral auto number) { return decimal(number); }

    std::string_view text() const { return {buffer_.data(), length_}; }

  private:
    Line& decimal(std::uint64_t number);

    std::array<char, kCapacity> buffer_{};
    std::size_t length_ = 0;
};
} // namespace ballast::loader
