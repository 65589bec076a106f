// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gdb/session_fixture.hpp"

using namespace hv;
using namespace hv::test;

TEST_CASE("monitor help lists the session's commands and the target's", "[gdb]") {
    Bench b;
    b.gdb.connect();
    std::string const help = b.gdb.monitor("help");
    for (char const* word : {"arch", "phys", "map", "reset", "version", "info"}) {
        CHECK(contains(help, word));
    }
    CHECK(b.gdb.monitor("") == help);
    CHECK(contains(b.gdb.monitor("version"), "Ballast"));
    CHECK(contains(b.gdb.monitor("info version"), "Ballast"));
}

TEST_CASE("other commands are the target's, and unknown ones say what to do", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.monitor("  info ") == "a debugged machine\n");
    CHECK(b.machine.monitored.back() == "info");
    CHECK(contains(b.gdb.monitor("frobnicate 7"), "frobnicate 7; there is: monitor help"));
    CHECK(b.machine.monitored.back() == "frobnicate 7");
}

TEST_CASE("the guest-physical map is readable", "[gdb]") {
    Bench b;
    b.gdb.connect();
    std::string const map = b.gdb.monitor("map");
    CHECK(contains(map, "000000000000-0000000fffff       1024 KiB RAM\n"));
    CHECK(contains(map, "ballooned"));
    CHECK(contains(map, "0000fee00000-0000fee00fff          4 KiB device\n"));
}

TEST_CASE("a long answer comes in several packets, and what is too long says so", "[gdb]") {
    Bench b;
    b.gdb.connect();
    std::string const text = b.gdb.monitor("much");
    CHECK(text.starts_with("line 0\nline 1\n"));
    CHECK(contains(text, "line 1000\n"));
    CHECK(contains(text, "and more\n"));
    CHECK(b.gdb.ask("qC") == "QCp1.1");
}

TEST_CASE("reset answers when the partition stands at its first instruction", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.gdb.ask("vCont;s:p1.1");
    CHECK(contains(b.gdb.monitor("reset"), "before its first instruction"));
    CHECK(b.rip() == 0x1000);
    CHECK(b.gdb.ask("vCont;s:p1.1").starts_with("T05"));
    b.gdb.ask("D;1");
    CHECK(contains(b.gdb.monitor("reset"), "cannot"));
}

TEST_CASE("a reset that fails is told, and the partition's end at the next resume", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.gdb.send("qRcmd," + hex_of("reset"));
    b.first().stop = gdb::Stop{gdb::Stop::Reason::Ended, 0, 0, false};
    b.gdb.wait();
    auto const packets = b.gdb.taken();
    REQUIRE(packets.size() == 2);
    CHECK(contains(from_hex(packets[0].substr(1)), "did not start"));
    CHECK(packets[1] == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.-1") == "W00;process:1");
}

TEST_CASE("auto follows the code, when gdb reads the description again", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.first().bits = 16;
    b.gdb.monitor("arch auto");
    CHECK(contains(b.gdb.document("features:read:target.xml"), "<architecture>i8086</architecture>"));
    b.first().bits = 32;
    b.gdb.send("vCont;s:p1.1");
    b.gdb.wait(3);
    auto packets = b.gdb.taken();
    REQUIRE(packets.size() == 2);
    CHECK(contains(from_hex(packets[0].substr(1)), "32-bit now; type: unset tdesc"));
    CHECK(b.gdb.ask("vCont;s:p1.1").starts_with("T05")); // once
    CHECK(contains(b.gdb.document("features:read:target.xml"), "<architecture>i386</architecture>"));
    CHECK(contains(b.gdb.monitor("arch"), "32-bit"));
    CHECK(contains(b.gdb.monitor("arch 7"), "choose"));
}

TEST_CASE("commands work with nobody attached", "[gdb]") {
    Bench b;
    b.first().on = false;
    CHECK(b.gdb.connect() == "W00");
    CHECK(contains(b.gdb.monitor("help"), "arch"));
    CHECK(contains(b.gdb.monitor("info"), "machine"));
}
