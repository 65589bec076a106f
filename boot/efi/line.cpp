// SPDX-License-Identifier: Apache-2.0
#include "boot/efi/line.hpp"

#include <algorithm>

namespace ballast::loader {
namespace {
constexpr std::string_view kCut = "...";
}

Line& Line::operator<<(std::string_view text) {
    std::size_t const count = std::min(text.size(), kCapacity - length_);
    std::copy_n(text.begin(), count, buffer_.begin() + length_);
    length_ += count;
    if (count < text.size()) std::copy(kCut.begin(), kCut.end(), buffer_.end() - kCut.size());
    return *this;
}

Line& Line::decimal(std::uint64_t number) {
    std::array<char, 20> digits; // 2^64 has 20
    std::size_t at = digits.size();
    do {
        digits[--at] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return *this << std::string_view{digits.data() + at, digits.size() - at};
}

Line& Line::operator<<(Hex number) {
    std::array<char, 16> digits;
    std::size_t at = digits.size();
    std::uint64_t rest = number.value;
    do {
        digits[--at] = "0123456789abcdef"[rest & 15];
        rest >>= 4;
    } while (rest != 0);
    return *this << "0x" << std::string_view{digits.data() + at, digits.size() - at};
}
} // namespace ballast::loader
