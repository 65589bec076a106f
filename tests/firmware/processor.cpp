// SPDX-License-Identifier: Apache-2.0
#include "tests/firmware/processor.hpp"

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
constexpr std::uint16_t kCom1 = 0x3f8;
constexpr std::uint16_t kLineStatus = kCom1 + 5;
constexpr std::uint8_t kTransmitterEmpty = 1u << 5;

void write(std::string_view text) {
    for (char const c : text) {
        std::uint8_t status = 0;
        do
            asm volatile("pause; inb %1, %0" : "=a"(status) : "Nd"(kLineStatus));
        while ((status & kTransmitterEmpty) == 0);
        asm volatile("outb %0, %1" : : "a"(c), "Nd"(kCom1));
    }
}

void write_hex(std::uint64_t number) {
    for (int shift = 60; shift >= 0; shift -= 4) {
        char const digit = "0123456789abcdef"[number >> shift & 0xf];
        write({&digit, 1});
    }
}
} // namespace

void say(std::string_view text) {
    write("test firmware: "sv);
    write(text);
    write("\r\n"sv);
}

void give_up(std::string_view why, std::uint64_t number) {
    write("test firmware: error: "sv);
    write(why);
    write(": 0x"sv);
    write_hex(number);
    write("\r\n"sv);
    for (;;)
        asm volatile("cli; hlt");
}
} // namespace ballast::test_firmware
