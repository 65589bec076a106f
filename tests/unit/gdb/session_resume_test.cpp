// SPDX-License-Identifier: Apache-2.0
// Resumes, stops, interrupts.
#include "tests/unit/gdb/session_fixture.hpp"

using namespace hv;
using namespace hv::test;
using Kind = gdb::Resume::Kind;

TEST_CASE("a step moves one virtual processor by one instruction", "[gdb]") {
    Bench b;
    b.gdb.connect();
    u64 const first = b.rip(0), second = b.rip(1);
    std::string const stop = b.gdb.ask("vCont;s:p1.1");
    CHECK(stop.starts_with("T05thread:p1.1;06:"));
    CHECK(b.rip(0) == first + 1);
    CHECK(b.rip(1) == second);
    CHECK(b.gdb.ask("vCont;s:p1.2").starts_with("T05thread:p1.2;"));
    CHECK(b.rip(1) == second + 1);
    CHECK(b.gdb.ask("qC") == "QCp1.2"); // and Hg is its thread
}

TEST_CASE("the leftmost action that matches a thread is its own, and threads without one stay", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.machine.instructions_per_look = 0;
    b.gdb.send("vCont;s:p1.2;c:p1.-1");
    REQUIRE(b.first().vps[1].going);
    CHECK(b.first().vps[1].going->kind == Kind::Step);
    REQUIRE(b.first().vps[0].going);
    CHECK(b.first().vps[0].going->kind == Kind::Continue);
    b.machine.instructions_per_look = 10;
    CHECK(b.gdb.reply().starts_with("T05thread:p1.2"));

    b.machine.instructions_per_look = 0;
    b.gdb.send("vCont;t:p1.1;r1000,2000:p1.2;c");
    CHECK_FALSE(b.first().vps[0].going);
    REQUIRE(b.first().vps[1].going);
    CHECK(b.first().vps[1].going->kind == Kind::StepRange);
    CHECK(b.first().vps[1].going->range_first == 0x1000);
    CHECK(b.first().vps[1].going->range_end == 0x2000);
    b.machine.instructions_per_look = 100;
    CHECK(b.gdb.reply().starts_with("T05thread:p1.2"));
    CHECK(b.rip(1) == 0x2000);
}

TEST_CASE("signals are accepted and an empty range is a step", "[gdb]") {
    Bench b;
    b.gdb.connect();
    u64 const at = b.rip();
    CHECK(b.gdb.ask("vCont;S05:p1.1").starts_with("T05"));
    CHECK(b.gdb.ask("vCont;r1000,1000:p1.1").starts_with("T05"));
    CHECK(b.rip() == at + 2);
    b.gdb.send("vCont;C0a");
    b.gdb.wait();
    b.gdb.send_raw("\x03");
    CHECK(b.gdb.reply().starts_with("T02"));
}

TEST_CASE("ctrl-C stops what goes on, once", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.gdb.send("vCont;c:p1.-1");
    b.gdb.wait(5);
    CHECK(b.gdb.taken().empty());
    b.gdb.send_raw("\x03");
    CHECK(b.gdb.reply().starts_with("T02thread:p1.1;"));
    b.gdb.send_raw("\x03\x03"); // crossed the stop
    b.gdb.wait(3);
    CHECK(b.gdb.taken().empty());
    CHECK(b.gdb.ask("vCont;s:p1.1").starts_with("T05"));
}

TEST_CASE("while something goes on other requests are not served", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.gdb.send("vCont;c:p1.-1");
    for (char const* packet : {"g", "vCont;s:p1.1", "m1000,4", "D;1", "?", "vKill;1", "k"}) {
        b.gdb.send(packet);
    }
    CHECK(b.gdb.taken().empty());
    CHECK(b.first().attached);
    b.gdb.send_raw("\x03");
    CHECK(b.gdb.reply().starts_with("T02"));
}

TEST_CASE("breakpoints are told as they were inserted, and only to who asked to be told", "[gdb]") {
    Bench b;
    b.gdb.connect();
    REQUIRE(b.gdb.ask("Z0,1200,1") == "OK");
    REQUIRE(b.gdb.ask("Z1,1210,1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05swbreak:;thread:p1.1;"));
    CHECK(b.rip() == 0x1200);
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05hwbreak:;thread:p1.1;"));
    b.gdb.ask("qSupported:multiprocess+");
    b.gdb.ask("?");
    REQUIRE(b.gdb.ask("Z0,1220,1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05thread:p1.1;"));
}

TEST_CASE("a watchpoint is told by its address", "[gdb]") {
    Bench b;
    b.code({0xb8, 7, 0, 0, 0, 0x89, 0x04, 0x25, 0x00, 0x90, 0, 0});
    b.gdb.connect();
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    REQUIRE(b.gdb.ask("Z2,8ffe,4") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05watch:8ffe;thread:p1.1;"));
    CHECK(b.gdb.ask("z2,8ffe,4") == "OK");
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    REQUIRE(b.gdb.ask("Z4,9000,1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05awatch:9000;"));
}

TEST_CASE("a crash is told at each attempt to go on", "[gdb]") {
    Bench b;
    b.code({0x90, 0x0f, 0x0b});
    b.gdb.connect();
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T06thread:p1.1;"));
    CHECK(b.gdb.ask("m1000,1") == "90");
    CHECK(b.gdb.ask("vCont;c:p1.-1").starts_with("T06thread:p1.1;"));
    CHECK(b.gdb.ask("vCont;s:p1.1;c").starts_with("T06thread:p1.1;"));
    CHECK_FALSE(b.first().vps[0].going);
    CHECK(contains(b.gdb.monitor("reset"), "first instruction"));
    CHECK(b.gdb.ask("vCont;s:p1.1").starts_with("T05"));
}

TEST_CASE("the same resume once more does the same, and nothing else passes for it", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    CHECK(b.gdb.ask("vCont;") == "E01");
    CHECK(contains(b.gdb.ask("vCont;s:p1.1;c:p1.-1"), "10:0110000000000000;"));
    CHECK(contains(b.gdb.ask("vCont;s:p1.1;c:p1.-1"), "10:0210000000000000;"));
    CHECK(b.gdb.ask("vCont;") == "E01");
    CHECK(b.gdb.ask("vCont;s:p1.1;c:p1.-") == "E01");
    CHECK(contains(b.gdb.ask("vCont;s:p1.1;c:p1.-1"), "10:0310000000000000;"));
    CHECK(b.gdb.ask("vCont;s:p1.1;c:p2.-1;s:p1.1;c:p1.-1;x") == "E01");
    CHECK(contains(b.gdb.ask("vCont;s:p1.1;c:p1.-1"), "10:0410000000000000;"));
    CHECK(b.gdb.ask("D;1") == "OK");
    CHECK(b.gdb.ask("vCont;s:p1.1;c:p1.-1") == "E01");
}

TEST_CASE("the end of a partition takes it from the list", "[gdb]") {
    Bench b;
    b.code({0x90, 0xf4});
    b.gdb.connect();
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    CHECK(b.gdb.ask("vCont;c:p1.-1") == "W00;process:1");
    CHECK_FALSE(b.first().attached);
    CHECK(b.gdb.document("threads:read:") == "<threads></threads>");
    CHECK(b.gdb.ask("g") == "E01");
    CHECK(b.gdb.ask("vCont;c:p1.-1") == "E01");
}

TEST_CASE("the first stop of several partitions is told when all of them stand", "[gdb]") {
    Bench b;
    b.second().on = true;
    b.gdb.connect();
    b.gdb.ask("vAttach;1");
    b.gdb.ask("vAttach;2");
    b.gdb.ask("Hgp1.1");
    b.gdb.ask("Z0,1800,1");
    b.first().vps[0].set(RegisterId::Rip, 0x1000);
    b.gdb.send("vCont;c");
    b.gdb.wait(2);
    CHECK(b.gdb.taken().empty());
    CHECK(b.second().vps[0].going);
    CHECK(b.gdb.reply().starts_with("T05swbreak:;thread:p1.1;"));
    CHECK_FALSE(b.second().vps[0].going);
    // One alone goes while the other stands.
    u64 const at = b.second().vps[0].get(RegisterId::Rip);
    b.gdb.send("vCont;c:p1.-1");
    b.gdb.wait(3);
    CHECK(b.second().vps[0].get(RegisterId::Rip) == at);
    b.gdb.send_raw("\x03");
    CHECK(b.gdb.reply().starts_with("T02"));
}

TEST_CASE("an access that another partition made at the same time is told at the next resume", "[gdb]") {
    Bench b;
    b.second().on = true;
    b.gdb.connect();
    b.gdb.ask("vAttach;1");
    b.gdb.ask("vAttach;2");
    b.machine.instructions_per_look = 0;
    b.gdb.send("vCont;c");
    b.first().stop = gdb::Stop{gdb::Stop::Reason::Breakpoint, 0, 0, true};
    b.second().stop = gdb::Stop{gdb::Stop::Reason::WriteWatch, 0, 0x9000, false};
    CHECK(b.gdb.reply().starts_with("T05swbreak:;thread:p1.1;"));
    CHECK(b.gdb.ask("vCont;c:p2.-1").starts_with("T05watch:9000;thread:p2.1;"));
    CHECK_FALSE(b.second().vps[0].going);
    b.machine.instructions_per_look = 100;
    CHECK(b.gdb.ask("vCont;s:p2.1").starts_with("T05thread:p2.1"));
}

TEST_CASE("more actions than there is room for are refused", "[gdb]") {
    Bench b;
    b.gdb.connect();
    std::string packet = "vCont";
    for (int i = 0; i < 17; ++i) {
        packet += ";s:p1.1";
    }
    CHECK(b.gdb.ask(packet) == "E01");
    CHECK(b.gdb.ask(packet.substr(0, packet.size() - 7)).starts_with("T05"));
}
