// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"
#include "hv/platform/uart16550.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::platform;

namespace {
struct Sink : SerialSink {
    std::string text;
    void put(u8 byte) override { text.push_back(static_cast<char>(byte)); }
};
struct Line : InterruptLine {
    bool high = false;
    int rises = 0;
    void set(bool asserted) override {
        rises += asserted && !high;
        high = asserted;
    }
};
enum : u16 { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
struct Bed {
    Sink sink;
    Line line;
    Uart16550 uart{0x3f8, sink, line};
    u8 in(u16 r) { return static_cast<u8>(uart.read(static_cast<u16>(0x3f8 + r), 1)); }
    void out(u16 r, u8 v) { uart.write(static_cast<u16>(0x3f8 + r), 1, v); }
    usize receive(std::string_view text) {
        return uart.receive({reinterpret_cast<u8 const*>(text.data()), text.size()});
    }
};
} // namespace

TEST_CASE("Linux's 8250 autoconfiguration finds a 16550A", "[uart]") {
    Bed b; // the register dialogue of drivers/tty/serial/8250, in its order
    b.out(IER, 0);
    CHECK(b.in(IER) == 0);
    b.out(IER, 0x0f);
    CHECK(b.in(IER) == 0x0f);
    b.out(IER, 0xff);
    CHECK(b.in(IER) == 0x0f); // no XScale UUE, no sleep bits
    b.out(IER, 0);
    b.out(MCR, 0x10 | 0x0a);
    CHECK((b.in(MSR)&0xf0) == 0x90);
    b.out(MCR, 0);
    b.out(LCR, 0xbf); // EFR probe: IIR answers, and is not zero
    b.out(IIR, 0);
    b.out(LCR, 0);
    b.out(IIR, 0x01);
    CHECK(b.in(IIR) >> 6 == 3); // 16550A
    b.out(LCR, 0x80);
    CHECK(b.in(IIR) != 0);
    b.out(LCR, 0);
    b.out(IIR, 0x21); // 64-byte FIFO?
    CHECK(b.in(IIR) >> 5 == 6);
    b.out(LCR, 0x80);
    b.out(DATA, 0x34);
    b.out(IER, 0x12);
    CHECK(b.in(DATA) == 0x34);
    CHECK(b.in(IER) == 0x12);
    b.out(LCR, 0x03);
    CHECK(b.in(LCR) == 0x03);
    b.out(SCR, 0xa5);
    CHECK(b.in(SCR) == 0xa5);
    CHECK(b.sink.text.empty());
    CHECK(!b.line.high);
}

TEST_CASE("polled output, as a console writes it", "[uart]") {
    Bed b;
    for (char c : std::string{"hello"}) {
        CHECK((b.in(LSR)&0x60) == 0x60);
        b.out(DATA, static_cast<u8>(c));
    }
    CHECK(b.sink.text == "hello");
    CHECK(b.line.rises == 0);
}

TEST_CASE("interrupt-driven output: each batch asks for the next", "[uart]") {
    Bed b;
    b.out(MCR, 0x0b);
    b.out(IER, 0x02);
    CHECK(b.line.high); // empty already
    CHECK(b.in(IIR) == 0x02);
    CHECK(!b.line.high); // reading IIR acknowledged it
    CHECK(b.in(IIR) == 0x01);
    int const before = b.line.rises;
    b.out(DATA, 'x');
    CHECK(b.line.high);
    CHECK(b.line.rises == before + 1);
    b.out(DATA, 'y'); // an edge for each byte, even if the last was not acknowledged
    CHECK(b.line.rises == before + 2);
    b.out(IER, 0);
    CHECK(!b.line.high);
    b.out(IER, 0x02); // THRE test of Linux: enabling raises again
    CHECK(b.in(IIR) == 0x02);
    b.out(IER, 0);
    b.out(IER, 0x02);
    CHECK(b.in(IIR) == 0x02);
}

TEST_CASE("without OUT2 the interrupt output is disconnected", "[uart]") {
    Bed b;
    b.out(MCR, 0x03);
    b.out(IER, 0x02);
    CHECK(!b.line.high);
    CHECK(b.in(IIR) == 0x02);
    b.out(IER, 0x00);
    b.out(IER, 0x02);
    b.out(MCR, 0x0b);
    CHECK(b.line.high);
}

TEST_CASE("input: data, trigger level and timeout", "[uart]") {
    Bed b;
    b.out(MCR, 0x0b);
    b.out(IIR, 0x81); // FIFOs on, trigger at 8
    b.out(IER, 0x01);
    CHECK(b.receive("abc") == 3);
    CHECK(b.line.high);
    CHECK(b.in(IIR) == (0xc0 | 0x0c)); // below the level: timeout
    CHECK(b.receive("defgh") == 5);
    CHECK(b.in(IIR) == (0xc0 | 0x04));
    std::string got;
    while ((b.in(LSR)&1) != 0) {
        got.push_back(static_cast<char>(b.in(DATA)));
    }
    CHECK(got == "abcdefgh");
    CHECK(!b.line.high);
    CHECK(b.in(DATA) == 0);
}

TEST_CASE("the host is told when the queue is full", "[uart]") {
    Bed b;
    std::string const much(300, 'z');
    CHECK(b.receive(much) == 256);
    CHECK(b.uart.receive_room() == 0);
    CHECK(b.receive("x") == 0);
    b.in(DATA);
    CHECK(b.receive("xy") == 1);
    b.out(IIR, 0x07); // clear
    CHECK(b.uart.receive_room() == 256);
}

TEST_CASE("loopback brings bytes and modem lines back, and sends nothing", "[uart]") {
    Bed b;
    b.out(MCR, 0x1b);
    b.out(IER, 0x0f);
    b.out(DATA, 'q');
    CHECK(b.sink.text.empty());
    CHECK((b.in(LSR)&1) == 1);
    CHECK(b.in(DATA) == 'q');
    CHECK((b.in(MSR)&0xf0) == 0xb0);
    b.out(MCR, 0x10);
    CHECK(b.in(MSR) == 0x0b); // all low, and they changed
    CHECK(b.in(MSR) == 0);
    for (int i = 0; i < 257; ++i) {
        b.out(DATA, 'o');
    }
    CHECK(b.uart.counters().overruns == 1);
    CHECK((b.in(LSR)&2) == 2);
    CHECK((b.in(LSR)&2) == 0);
    CHECK(!b.line.high);
}

TEST_CASE("lines are collected, cleaned and cut", "[uart]") {
    std::vector<std::string> lines;
    LineCollector collector{[](void* context, std::string_view line) {
                                static_cast<std::vector<std::string>*>(context)->emplace_back(line);
                            },
                            &lines};
    auto const put = [&](std::string_view text) {
        for (char c : text) {
            collector.put(static_cast<u8>(c));
        }
    };
    put("one\r\n\ntwo\x07 \t\x1b[0m");
    CHECK(lines == std::vector<std::string>{"one", ""});
    collector.flush();
    collector.flush();
    CHECK(lines.back() == "two? \t\x1b[0m");
    CHECK(lines.size() == 3);
    put(std::string(300, 'a') + "\n");
    CHECK(lines[3].size() == 256);
    CHECK(lines[4].size() == 44);
    CHECK(collector.empty());
}
