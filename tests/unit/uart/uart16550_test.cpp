// SPDX-License-Identifier: Apache-2.0
#include "drivers/uart/uart16550.hpp"
#include <catch2/catch.hpp>
#include <deque>
#include <string>

using namespace hv;
using drivers::Uart16550;

namespace {
/// A port with a transmit FIFO that overruns, as Bochs's does.
struct Chip {
    bool present = true, fifo = true;
    u8 scratch = 0, line_control = 0, fifo_control = 0;
    u16 divisor = 0;
    std::deque<u8> sending, received;
    std::string out;
    unsigned overruns = 0;

    u8 in(u16 reg) {
        if (!present) {
            return 0xff;
        }
        switch (reg) {
        case 0: {
            u8 const b = received.empty() ? u8{0} : received.front();
            if (!received.empty()) {
                received.pop_front();
            }
            return b;
        }
        case 2: return fifo && (fifo_control & 1) != 0 ? 0xc1 : 0x01;
        case 5: return static_cast<u8>((received.empty() ? 0 : 1) | (sending.empty() ? 0x60 : 0));
        case 7: return scratch;
        default: return 0;
        }
    }
    void write(u16 reg, u8 v) {
        switch (reg) {
        case 0:
            if ((line_control & 0x80) != 0) {
                divisor = static_cast<u16>((divisor & 0xff00) | v);
            } else if (sending.size() >= (fifo ? 16u : 1u)) {
                ++overruns;
            } else {
                sending.push_back(v);
            }
            break;
        case 1:
            if ((line_control & 0x80) != 0) {
                divisor = static_cast<u16>((divisor & 0xff) | v << 8);
            }
            break;
        case 2: fifo_control = v; break;
        case 3: line_control = v; break;
        case 7: scratch = v; break;
        default: break;
        }
    }
    void shift_out() {
        out.append(sending.begin(), sending.end());
        sending.clear();
    }
};
struct Ports {
    Chip* chip;
    u8 in8(u16 port) { return chip->in(static_cast<u16>(port - drivers::uart::kCom1)); }
    void out8(u16 port, u8 v) { chip->write(static_cast<u16>(port - drivers::uart::kCom1), v); }
};
std::span<u8 const> bytes(std::string const& s) {
    return {reinterpret_cast<u8 const*>(s.data()), s.size()};
}
} // namespace

TEST_CASE("a port that is not there is told from one that is", "[uart]") {
    Chip chip;
    CHECK(Uart16550<Ports>{Ports{&chip}, drivers::uart::kCom1}.initialise(115200));
    chip.present = false;
    CHECK_FALSE(Uart16550<Ports>{Ports{&chip}, drivers::uart::kCom1}.initialise(115200));
}

TEST_CASE("the divisor follows the baud rate and the data register is reachable afterwards", "[uart]") {
    Chip chip;
    Uart16550<Ports> uart{Ports{&chip}, drivers::uart::kCom1};
    REQUIRE(uart.initialise(9600));
    CHECK(chip.divisor == 12);
    CHECK(chip.line_control == 0x03);
}

TEST_CASE("a full FIFO takes nothing, so nothing overruns", "[uart]") {
    Chip chip;
    chip.fifo = GENERATE(true, false);
    Uart16550<Ports> uart{Ports{&chip}, drivers::uart::kCom1};
    REQUIRE(uart.initialise(115200));
    std::string const text = "0123456789abcdefGHIJ";
    usize done = 0;
    while (done < text.size()) {
        usize const taken = uart.write_some(bytes(text).subspan(done));
        CHECK(taken == (chip.fifo ? std::min<usize>(16, text.size() - done) : 1));
        CHECK(uart.write_some(bytes(text)) == 0);
        CHECK_FALSE(uart.drained());
        done += taken;
        chip.shift_out();
    }
    CHECK(uart.drained());
    CHECK(chip.out == text);
    CHECK(chip.overruns == 0);
}

TEST_CASE("received bytes come out in order, then nothing", "[uart]") {
    Chip chip;
    Uart16550<Ports> uart{Ports{&chip}, drivers::uart::kCom1};
    REQUIRE(uart.initialise(115200));
    chip.received = {'o', 'k'};
    CHECK(uart.read_byte() == std::optional<u8>{'o'});
    CHECK(uart.read_byte() == std::optional<u8>{'k'});
    CHECK(uart.read_byte() == std::nullopt);
}
