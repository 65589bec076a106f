// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_reader.hpp"
#include "tests/fakes/gdb_client.hpp"
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::gdb;
using Event = PacketReader::Event;

namespace {
struct Reader {
    PacketReader reader;
    std::vector<std::string> packets;
    /// What happened, a letter each.
    std::string take(std::string_view bytes) {
        std::string seen;
        std::span<u8 const> left{reinterpret_cast<u8 const*>(bytes.data()), bytes.size()};
        while (!left.empty()) {
            Event const event = reader.take(left);
            seen += event == Event::None ? "" : std::string{"PBI+-"[static_cast<int>(event) - 1]};
            if (event == Event::Packet) {
                auto const data = reader.packet();
                packets.emplace_back(data.begin(), data.end());
            }
        }
        return seen;
    }
};
} // namespace

TEST_CASE("a packet is what stands between $ and # with the sum of its bytes", "[gdb]") {
    Reader r;
    CHECK(r.take("$OK#9a") == "P");
    CHECK(r.take("$#00$qC#B4") == "PP");
    CHECK(r.packets == std::vector<std::string>{"OK", "", "qC"});
    CHECK(r.take("$OK#9b") == "B");
    CHECK(r.take("$OK#9x") == "B");
    CHECK(r.take("$OK#xx") == "B");
}

TEST_CASE("a packet may come in any pieces", "[gdb]") {
    Reader r;
    std::string const whole = test::framed("m1000,}\x03"
                                           "4");
    std::string seen;
    for (char c : whole) {
        seen += r.take({&c, 1});
    }
    CHECK(seen == "P");
    CHECK(r.packets.back() == "m1000,#4"); // 0x03 is data there, and escaped
}

TEST_CASE("an escaped byte is the next one with bit 5 turned", "[gdb]") {
    Reader r;
    CHECK(r.take(test::framed("X0,4:}\x04}]}\x03}\x0a")) == "P");
    CHECK(r.packets.back() == "X0,4:$}#*");
}

TEST_CASE("a dollar begins anew wherever it comes", "[gdb]") {
    Reader r;
    CHECK(r.take("$m1000,$qC#b4") == "P");
    CHECK(r.take("$m1000#$qC#b4") == "P");
    CHECK(r.take("$m1000#1$qC#b4") == "P");
    CHECK(r.take("$m1000}$qC#b4") == "P");
    CHECK(r.packets == std::vector<std::string>(4, "qC"));
}

TEST_CASE("outside packets only acknowledgements and the interrupt mean something", "[gdb]") {
    Reader r;
    CHECK(r.take("xyz#12\r\n+ -\x03}") == "+-I");
    CHECK(r.take("$\x03#03") == "P");
}

TEST_CASE("a packet that is too long is dropped, and the next one is read", "[gdb]") {
    Reader r;
    std::string const longest(PacketReader::kDataBytes, 'a'), longer(PacketReader::kDataBytes + 1, 'a');
    CHECK(r.take(test::framed(longest)) == "P");
    CHECK(r.take(test::framed(longer)).empty());
    CHECK(r.take(test::framed(longer).substr(0, 0x4008) + "$qC#b4") == "P");
    CHECK(r.take("$" + std::string(1 << 20, 'x')).empty());
    CHECK(r.take("$qC#b4") == "P");
}
