// SPDX-License-Identifier: Apache-2.0
#include "hv/init/console/console.hpp"
#include <catch2/catch.hpp>
#include <deque>
#include <string>
#include <vector>

using namespace hv;
using namespace hv::init;

namespace {
/// A port that takes `budget` more bytes, at most 16 at once; negative: any number.
struct Wire {
    std::string out;
    std::deque<u8> in;
    long budget = -1;
    unsigned looks = 0;
    long refill_per_look = 0;
};
struct Port {
    Wire* wire;
    usize write_some(std::span<u8 const> bytes) {
        ++wire->looks;
        usize n = std::min<usize>(16, bytes.size());
        if (wire->budget >= 0) {
            n = std::min<usize>(n, static_cast<usize>(wire->budget));
            wire->budget += wire->refill_per_look - static_cast<long>(n);
        }
        wire->out.append(reinterpret_cast<char const*>(bytes.data()), n);
        return n;
    }
    std::optional<u8> read_byte() {
        if (wire->in.empty()) {
            return std::nullopt;
        }
        u8 const b = wire->in.front();
        wire->in.pop_front();
        return b;
    }
    bool drained() { return true; }
};
using SmallConsole = Console<Port, 256>;
void type(Wire& wire, std::string const& text) {
    wire.in.insert(wire.in.end(), text.begin(), text.end());
}
} // namespace

TEST_CASE("a ring takes whole lines or nothing and counts what it refused", "[console]") {
    OutputRing<16> ring;
    std::string_view const first[] = {"0123", "456789"};
    std::string_view const second[] = {"abcdefg"};
    CHECK(ring.push(first));
    CHECK_FALSE(ring.push(second));
    CHECK(ring.lost_bytes() == 7);
    CHECK(ring.used() == 10);
    ring.pop(8);
    CHECK(ring.push(second)); // wraps
    std::string out;
    while (!ring.empty()) {
        auto const piece = ring.front();
        REQUIRE(!piece.empty());
        out.append(piece.begin(), piece.end());
        ring.pop(piece.size());
    }
    CHECK(out == "89abcdefg");
}

TEST_CASE("a line waits in the ring until poll moves it", "[console]") {
    Wire wire;
    SmallConsole console{Port{&wire}};
    console.write_line("[web] ", "login:");
    CHECK(wire.out.empty());
    wire.budget = 5;
    CHECK(console.poll());
    CHECK(wire.out == "[web]");
    wire.budget = -1;
    CHECK_FALSE(console.poll());
    CHECK(wire.out == "[web] login:\r\n");
}

TEST_CASE("a full ring loses whole lines and says how much once there is room", "[console]") {
    Wire wire;
    wire.budget = 0;
    SmallConsole console{Port{&wire}};
    for (int i = 0; i < 30; ++i) {
        console.write_line("p ", "0123456789"); // 14 bytes each, 18 fit
    }
    CHECK(console.lost_bytes() == 12 * 14);
    wire.budget = -1;
    console.poll();
    console.write_line("", "after");
    console.poll();
    CHECK(wire.out.find("ballast: warning: console: 168 bytes lost") != std::string::npos);
    CHECK(wire.out.find("after\r\n") != std::string::npos);
    usize complete = 0;
    for (usize at = 0; (at = wire.out.find("p 0123456789\r\n", at)) != std::string::npos; ++at) {
        ++complete;
    }
    CHECK(complete == 18);
}

TEST_CASE("the operator's lines wait for room instead of getting lost", "[console]") {
    Wire wire;
    wire.budget = 3;
    wire.refill_per_look = 3;
    SmallConsole console{Port{&wire}};
    for (int i = 0; i < 100; ++i) {
        console.write_line_waiting("", "0123456789");
    }
    console.drain();
    CHECK(wire.out.size() == 1200);
    CHECK(console.lost_bytes() == 0);
}

TEST_CASE("a stuck port does not hold a drain for ever", "[console]") {
    Wire wire;
    wire.budget = 0;
    SmallConsole console{Port{&wire}};
    console.write_line("", "never");
    console.drain();
    CHECK(wire.out.empty());
    CHECK(wire.looks > 1000);
}

TEST_CASE("after seize a lock that is held does not matter", "[console]") {
    Wire wire;
    SmallConsole console{Port{&wire}};
    console.seize();
    console.write_line("ballast: ", "PANIC");
    CHECK(wire.out == "ballast: PANIC\r\n");
}

TEST_CASE("typed bytes become lines for the listener, echoed only when asked", "[console]") {
    Wire wire;
    SmallConsole console{Port{&wire}};
    std::vector<std::string> lines;
    console.on_line(
        [](void* to, std::string_view line) { static_cast<decltype(lines)*>(to)->emplace_back(line); },
        &lines);
    type(wire, "list\r\nshow web\nche");
    console.poll();
    CHECK(lines == std::vector<std::string>{"list", "show web"});
    CHECK(wire.out.empty());
    console.set_echo(true);
    type(wire, "ck\r");
    console.poll();
    console.poll();
    CHECK(lines.back() == "check");
    CHECK(wire.out == "ck\r\n");
}

TEST_CASE("a flood of input is taken in bounded pieces", "[console]") {
    Wire wire;
    SmallConsole console{Port{&wire}};
    wire.in.assign(10'000, 'x');
    console.poll();
    CHECK(wire.in.size() >= 9'000);
}
