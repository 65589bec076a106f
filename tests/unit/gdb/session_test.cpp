// SPDX-License-Identifier: Apache-2.0
// Connecting, attaching, letting go.
#include "tests/unit/gdb/session_fixture.hpp"

using namespace hv;
using namespace hv::test;

TEST_CASE("a new gdb is told what there is, and only of what it named", "[gdb]") {
    Bench b;
    std::string const all = b.gdb.ask("qSupported:multiprocess+;swbreak+;hwbreak+;no-resumed+");
    CHECK(contains(
        all, "PacketSize=4000;QStartNoAckMode+;QNonStop+;multiprocess+;swbreak+;hwbreak+;vContSupported+"));
    CHECK(contains(all, "qXfer:features:read+"));
    CHECK_FALSE(contains(all, "no-resumed"));
    std::string const less = b.gdb.ask("qSupported:swbreak-;multiprocess");
    CHECK_FALSE(contains(less, "swbreak"));
    CHECK_FALSE(contains(less, "multiprocess"));
    CHECK(b.gdb.line.acks == 2);
}

TEST_CASE("a line that loses bytes keeps its acknowledgements", "[gdb]") {
    Bench b;
    gdb::Session session{b.machine, false};
    GdbClient client{session};
    CHECK_FALSE(contains(client.ask("qSupported:multiprocess+"), "NoAck"));
    CHECK(client.ask("QStartNoAckMode").empty());
    client.ask("!");
    CHECK(client.line.acks == 3);
}

TEST_CASE("connecting stops the only partition that is on", "[gdb]") {
    Bench b;
    std::string const stop = b.gdb.connect();
    CHECK(contains(stop, "T05thread:p1.1;06:0000000000000000;07:0000080000000000;10:"));
    CHECK(b.first().attached);
    CHECK_FALSE(b.second().attached);
    CHECK(b.gdb.ask("qAttached:1") == "1");
    CHECK(b.gdb.ask("qC") == "QCp1.1");
    CHECK(b.gdb.ask("Tp1.2") == "OK");
    CHECK(b.gdb.ask("Tp1.3") == "E01");
    CHECK(b.gdb.ask("Tp2.1") == "E01");
    CHECK(b.gdb.document("threads:read:") ==
          "<threads><thread id=\"p1.1\" core=\"0\" name=\"cpu0\">linux</thread>"
          "<thread id=\"p1.2\" core=\"1\" name=\"cpu1\">linux</thread></threads>");
}

TEST_CASE("connecting shows the one that waits, else a crashed one, else nobody of several", "[gdb]") {
    Bench b;
    b.second().on = true;
    CHECK(b.gdb.connect() == "W00");
    CHECK(b.gdb.ask("g") == "E01");
    CHECK(b.gdb.ask("qC").empty());
    CHECK(b.gdb.document("threads:read:") == "<threads></threads>");
    b.second().crashed = true;
    CHECK(contains(b.gdb.connect(), "T06thread:p2.1;"));
    CHECK(b.gdb.ask("D;2") == "OK");
    b.first().waits = true;
    CHECK(contains(b.gdb.connect(), "T05thread:p1.1;"));
    // The one held is shown again, and others go.
    CHECK(contains(b.gdb.ask("vAttach;2"), "T06thread:p2.1;"));
    CHECK(contains(b.gdb.connect(), "T06thread:p2.1;"));
    CHECK_FALSE(b.first().attached);
    b.machine.partitions.clear();
}

TEST_CASE("nothing is on", "[gdb]") {
    Bench b;
    b.first().on = false;
    CHECK(b.gdb.connect() == "W00");
    CHECK(b.gdb.ask("vAttach;1") == "E01");
    CHECK(b.gdb.ask("vKill;1") == "E01");
    CHECK(b.gdb.ask("D;1") == "E01");
    CHECK(contains(b.gdb.ask("vRun;"), "T05thread:p1.1;"));
    CHECK(b.first().starts == 2);
}

TEST_CASE("a partition is attached by its number and let go without a trace", "[gdb]") {
    Bench b;
    b.second().on = true;
    b.gdb.connect();
    CHECK(contains(b.gdb.ask("vAttach;2"), "T00thread:p2.1;"));
    CHECK(b.gdb.ask("qC") == "QCp2.1");
    CHECK(contains(b.gdb.ask("vAttach;2"), "T00thread:p2.1;"));
    for (char const* bad :
         {"vAttach;0", "vAttach;3", "vAttach;", "vAttach;ffffffffffffffff", "vAttach;11111111111111111"}) {
        CHECK(b.gdb.ask(bad) == "E01");
    }
    CHECK(b.gdb.ask("Z0,2004,1") == "OK");
    CHECK(b.gdb.ask("D;2") == "OK");
    CHECK(b.second().points.empty());
    CHECK_FALSE(b.second().attached);
    CHECK(b.gdb.ask("D;2") == "E01");
    CHECK(b.gdb.ask("g") == "E01");
}

TEST_CASE("kill turns off, run starts what was killed or named", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.ask("vKill;1") == "OK");
    CHECK_FALSE(b.first().on);
    CHECK(b.gdb.document("threads:read:") == "<threads></threads>");
    CHECK(contains(b.gdb.ask("vRun;"), "T05thread:p1.1;"));
    CHECK(b.first().on);
    CHECK(contains(b.gdb.ask("vRun;" + hex_of("other")), "T05thread:p2.1;"));
    CHECK(b.second().attached);
    b.gdb.send("k");
    CHECK_FALSE(b.second().on);
    CHECK(b.gdb.taken().empty());
}

TEST_CASE("unknown requests get the empty answer", "[gdb]") {
    Bench b;
    b.gdb.connect();
    for (char const* packet : {"vMustReplyEmpty", "qTStatus", "qOffsets", "QNonStop:7", "x", "", "R0",
                               "qSupporte", "vFile:setfs:0", "qTfV", "jc", "Z9,0,1", "qXfer:auxv:read::0,100",
                               "qXfer:features:write:target.xml:0:12"}) {
        INFO(packet);
        CHECK(b.gdb.ask(packet).empty());
    }
    CHECK(b.gdb.ask("qSymbol::") == "OK");
}

TEST_CASE("what cannot be is refused with two digits", "[gdb]") {
    Bench b;
    b.gdb.connect();
    for (char const* packet : {"Hgp9.1",
                               "Hgp1.7",
                               "Hg",
                               "Hx1",
                               "T",
                               "Tzz",
                               "m",
                               "m10",
                               "mxyz,1",
                               "m0,0",
                               "M0,2:00",
                               "M0,1:zz",
                               "X0,3:ab",
                               "P10",
                               "P10=00",
                               "P999=00",
                               "pfff",
                               "p",
                               "Z0",
                               "Z0,1",
                               "Z2,0,0",
                               "vCont;",
                               "vCont;q",
                               "vCont;c:",
                               "vCont;s:p9.1",
                               "vCont;t",
                               "vCont;r1,",
                               "vCont;c;",
                               "D;",
                               "D;9",
                               "qRcmd,4",
                               "qRcmd,zz",
                               "qXfer:features:read:x.xml:0,10",
                               "qXfer:features:read:target.xml",
                               "qXfer:features:read:target.xml:0",
                               "qXfer:threads:read::,"}) {
        INFO(packet);
        std::string const reply = b.gdb.ask(packet);
        CHECK(reply.size() == 3);
        CHECK(reply.starts_with("E"));
    }
    CHECK(b.first().points.empty());
}

TEST_CASE("bad checksums are refused, in no-ack mode silently", "[gdb]") {
    Bench b;
    b.gdb.send_raw("$?#00");
    CHECK(b.gdb.line.naks == 1);
    CHECK_FALSE(b.first().attached);
    b.gdb.connect();
    b.gdb.send_raw("$D;1#00");
    CHECK(b.gdb.taken().empty());
    CHECK(b.first().attached);
    CHECK(b.gdb.line.naks == 1);
}

TEST_CASE("rubbish leaves everybody alone", "[gdb]") {
    Bench b;
    std::string rubbish;
    u32 state = 1;
    for (int i = 0; i < 100000; ++i) {
        state = state * 1664525 + 1013904223;
        rubbish += static_cast<char>(state >> 24);
    }
    b.gdb.send_raw(rubbish);
    CHECK_FALSE(b.first().attached);
    CHECK(b.gdb.connect().starts_with("T05"));
}

TEST_CASE("a gdb that vanished leaves a partition running, and the next one stops it without its points",
          "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.gdb.ask("Z0,1004,1");
    b.first().points[0].spec.address = 0x7000; // not hit
    b.gdb.send("vCont;c:p1.-1");
    b.gdb.wait(3);
    b.gdb.send_raw("$m100"); // the cable is pulled
    u64 const before = b.rip();
    b.gdb.wait(3);
    CHECK(b.rip() > before);
    b.gdb.send_raw("+");
    CHECK(contains(b.gdb.ask("qSupported:multiprocess+"), "PacketSize"));
    CHECK(b.first().points.empty());
    u64 const connected = b.rip();
    b.gdb.wait(3);
    CHECK(b.rip() > connected); // until it is asked for
    CHECK(b.gdb.ask("g") == "E01");
    CHECK(b.gdb.ask("?").starts_with("T05thread:p1.1;"));
    CHECK(b.gdb.ask("m1000,2") == "9090");
}

TEST_CASE("a stop that came while nobody listened is no surprise to the next gdb", "[gdb]") {
    Bench b;
    b.code({0x90, 0x0f, 0x0b});
    b.gdb.connect();
    b.gdb.send("vCont;c:p1.-1");
    b.gdb.send("qSupported:multiprocess+");
    b.gdb.taken();
    b.gdb.wait(3); // it crashes now
    CHECK(b.gdb.taken().empty());
    CHECK(b.gdb.ask("?").starts_with("T06thread:p1."));
}

TEST_CASE("a second gdb on the line in no-ack mode is acknowledged again", "[gdb]") {
    Bench b;
    b.gdb.connect();
    u32 const acks = b.gdb.line.acks;
    b.gdb.acknowledge = true;
    b.gdb.send_raw("+$m1000,");
    b.gdb.ask("qSupported:multiprocess+");
    CHECK(b.gdb.line.acks == acks + 1);
    b.gdb.ask("!");
    CHECK(b.gdb.line.acks == acks + 2);
}

TEST_CASE("a gdb without process ids means the current one", "[gdb]") {
    Bench b;
    b.gdb.ask("qSupported:swbreak+");
    CHECK(b.gdb.ask("?").starts_with("T05thread:1;"));
    CHECK(b.gdb.ask("Hg2") == "OK");
    CHECK(b.gdb.ask("qC") == "QC2");
    CHECK(b.gdb.ask("T2") == "OK");
    CHECK(b.gdb.ask("vCont;s:2").starts_with("T05thread:2;"));
    CHECK(contains(b.gdb.document("threads:read:"), "id=\"2\""));
    CHECK(b.gdb.ask("D") == "OK");
}

TEST_CASE("the partitions can be listed", "[gdb]") {
    Bench b;
    b.second().name = "o<&>";
    std::string const list = b.gdb.document("osdata:read:processes");
    CHECK(contains(list, "<column name=\"pid\">1</column><column name=\"user\">on</column><column "
                         "name=\"command\">linux</column>"));
    CHECK(contains(list, "<column name=\"user\">off</column><column name=\"command\">o&lt;&amp;>"));
}
