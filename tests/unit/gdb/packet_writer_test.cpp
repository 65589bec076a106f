// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/packet_writer.hpp"
#include "tests/fakes/gdb_client.hpp"
#include <catch2/catch.hpp>
#include <memory>

using namespace hv;
using namespace hv::gdb;

namespace {
struct Line {
    std::unique_ptr<PacketWriter> writer = std::make_unique<PacketWriter>();
    /// All that may go out now.
    std::string drain() {
        std::string out;
        for (auto p = writer->pending(); !p.empty(); p = writer->pending()) {
            usize const n = p.size() < 7 ? p.size() : 7;
            out.append(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(n));
            writer->sent(n);
        }
        return out;
    }
};
} // namespace

TEST_CASE("replies are framed, and binary data escaped", "[gdb]") {
    Line line;
    line.writer->stop_acks();
    line.writer->packet("OK");
    CHECK(line.drain() == "$OK#9a");
    line.writer->begin();
    line.writer->binary("a#$}*b");
    line.writer->end();
    CHECK(line.drain() == test::framed("a}\x03}\x04}]}\x0a"
                                       "b"));
    line.writer->begin();
    line.writer->number(0);
    line.writer->put(',');
    line.writer->number(0xfedc'ba98'7654'3210);
    line.writer->put(',');
    line.writer->byte(0x0a);
    line.writer->end();
    CHECK(line.drain() == test::framed("0,fedcba9876543210,0a"));
}

TEST_CASE("runs are counted by printable characters that mean nothing else", "[gdb]") {
    for (usize n = 1; n < 300; ++n) {
        Line line;
        line.writer->stop_acks();
        std::string const data = "7" + std::string(n, '0') + "1";
        line.writer->begin();
        line.writer->put(data);
        line.writer->end(true);
        std::string const sent = line.drain();
        test::PacketParser parser;
        parser.take({reinterpret_cast<u8 const*>(sent.data()), sent.size()});
        REQUIRE(parser.packets == std::vector<std::string>{data});
        REQUIRE(sent.size() <= data.size() + 4);
        for (char c : sent.substr(1, sent.size() - 4)) {
            REQUIRE(c >= ' ');
            REQUIRE((c != '#' && c != '$' && c != '+' && c != '-'));
        }
        if (n == 97) CHECK(sent.size() < 14);
    }
}

TEST_CASE("with acknowledgements one packet at a time is out, and is repeated until its plus", "[gdb]") {
    Line line;
    line.writer->acknowledged(false); // nothing is out
    line.writer->answer(true);
    line.writer->packet("O41");
    line.writer->packet("OK");
    CHECK(line.drain() == "+" + test::framed("O41"));
    line.writer->acknowledged(false);
    CHECK(line.drain() == test::framed("O41"));
    line.writer->acknowledged(true);
    CHECK(line.drain() == test::framed("OK"));
    line.writer->acknowledged(false);
    line.writer->acknowledged(false);
    CHECK(line.drain() == test::framed("OK"));
    line.writer->acknowledged(true);
    line.writer->acknowledged(false);
    line.writer->acknowledged(true);
    CHECK(line.drain().empty());
}

TEST_CASE("a minus in the midst of sending changes nothing", "[gdb]") {
    Line line;
    line.writer->packet("OK");
    line.writer->sent(2);
    line.writer->acknowledged(false);
    line.writer->acknowledged(true);
    CHECK(line.drain() == "K#9a");
    line.writer->acknowledged(true);
    line.writer->packet("E01");
    CHECK(line.drain() == test::framed("E01"));
}

TEST_CASE("without acknowledgements nothing is kept and nothing repeated", "[gdb]") {
    Line line;
    line.writer->packet("OK");
    line.writer->packet("E01");
    line.writer->stop_acks();
    CHECK(line.drain() == test::framed("OK") + test::framed("E01"));
    line.writer->acknowledged(false);
    line.writer->answer(true);
    line.writer->answer(false);
    CHECK(line.drain().empty());
}

TEST_CASE("what does not fit is dropped whole", "[gdb]") {
    Line line;
    line.writer->stop_acks();
    std::string const big(PacketWriter::kDataBytes, 'x');
    CHECK(line.writer->room() == PacketWriter::kDataBytes);
    line.writer->packet(big);
    line.writer->packet(big);
    CHECK(line.writer->room() < 16);
    line.writer->packet(big);
    line.writer->packet("OK");
    std::string const sent = line.drain();
    CHECK(sent.starts_with(test::framed(big) + test::framed(big)));
    CHECK(sent.size() <= PacketWriter::kBufferBytes);
    line.writer->packet("OK");
    CHECK(line.drain() == "$OK#9a");
    for (usize left : {0, 1, 2, 3, 4, 5}) { // up to the last byte
        line.writer->packet(big);
        line.writer->packet(std::string(PacketWriter::kBufferBytes - big.size() - 8 - left, 'y'));
        line.writer->packet(big);
        line.writer->begin();
        line.writer->put('l');
        line.writer->registers(std::array{PacketWriter::Tagged{2, 1}}, 8);
        line.writer->hex(std::array<u8, 4>{});
        line.writer->set_first('m');
        line.writer->end(true);
        line.writer->answer(true);
        CHECK(line.drain().size() <= PacketWriter::kBufferBytes - left);
    }
    for (int i = 0; i < 100000; ++i) {
        line.writer->packet("OK");
    }
    CHECK(line.drain().size() <= PacketWriter::kBufferBytes);
}

TEST_CASE("registers are told by number and in memory's order", "[gdb]") {
    Line line;
    line.writer->stop_acks();
    std::array const registers{PacketWriter::Tagged{0xffff'ffff'8123'45af, 0x10},
                               PacketWriter::Tagged{0x0099'aabb'ccdd'eeff, 7}};
    line.writer->begin();
    line.writer->put('T');
    line.writer->registers(registers, 8);
    line.writer->put("x;");
    line.writer->end();
    CHECK(line.drain() == test::framed("T10:af452381ffffffff;07:ffeeddccbbaa9900;x;"));
    line.writer->begin();
    line.writer->registers(registers, 4);
    line.writer->end();
    CHECK(line.drain() == test::framed("10:af452381;07:ffeeddcc;"));
}

TEST_CASE("a new gdb gets nothing of what the last one was owed", "[gdb]") {
    Line line;
    line.writer->stop_acks();
    line.writer->packet("E01");
    line.writer->sent(2);
    line.writer->clear();
    line.writer->answer(true);
    line.writer->packet("OK");
    CHECK(line.drain() == "+$OK#9a");
}

TEST_CASE("a notification goes out like a packet, and again if it must", "[gdb]") {
    Line line;
    line.writer->answer(true);
    line.writer->begin('%');
    line.writer->put("Stop:T05");
    line.writer->end();
    std::string const once = line.drain();
    CHECK(once.starts_with("+%Stop:T05#"));
    line.writer->acknowledged(false);
    CHECK(line.drain() == once.substr(1));
    line.writer->acknowledged(true);
    line.writer->packet("OK");
    CHECK(line.drain() == "$OK#9a");
}
