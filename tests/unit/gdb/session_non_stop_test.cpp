// SPDX-License-Identifier: Apache-2.0
// Non-stop mode: answers at once, stops as notifications.
#include "tests/unit/gdb/session_fixture.hpp"

using namespace hv;
using namespace hv::test;
using Strings = std::vector<std::string>;

namespace {
/// Both partitions are on and attached, all their virtual processors stand and that has been told.
struct NonStop : Bench {
    NonStop() {
        second().start();
        first().waits = true; // of two that are on it is the one to be shown
        std::string const shown = gdb.connect(true);
        REQUIRE(shown.starts_with("T00thread:p1.1;"));
        REQUIRE(gdb.ask("vStopped") == "OK");
        REQUIRE(told().starts_with("Stop:T00thread:p1.2;"));
        REQUIRE(gdb.ask("vStopped") == "OK");
        REQUIRE(gdb.ask("vAttach;2") == "OK");
        REQUIRE(gdb.notifications().empty()); // it is running, for all gdb knows
        REQUIRE(gdb.ask("vCont;t:p2.-1") == "OK");
        REQUIRE(told().starts_with("Stop:T00thread:p2.1;"));
        REQUIRE(gdb.ask("vStopped") == "OK");
        first().vps[0].set(RegisterId::Rax, 1);
        second().image_at = second().entry;
    }
    /// The one notification there is.
    std::string told() {
        Strings const all = gdb.notifications();
        return all.size() == 1 ? all[0] : "(" + std::to_string(all.size()) + ")";
    }
};
} // namespace

TEST_CASE("who offers non-stop mode answers QNonStop; a new gdb starts in all-stop", "[gdb]") {
    Bench b;
    CHECK(contains(b.gdb.ask("qSupported:multiprocess+"), ";QNonStop+;"));
    CHECK(b.gdb.ask("QNonStop:2").empty());
    CHECK(b.gdb.ask("vStopped").empty());
    CHECK(b.gdb.ask("vCtrlC").empty());
    CHECK(b.gdb.ask("QNonStop:1") == "OK");
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.connect().starts_with("T05thread:p1.1;"));
    CHECK(b.gdb.ask("vCont;s:p1.1").starts_with("T05thread:p1.1;"));

    gdb::Session lossy{b.machine, false};
    GdbClient client{lossy};
    CHECK_FALSE(contains(client.ask("qSupported:multiprocess+"), "QNonStop"));
    CHECK(client.ask("QNonStop:1").empty());
}

TEST_CASE("inferiors go and stop one by one", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;c:p1.-1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p2.1") == "OK");
    CHECK(b.gdb.notifications().empty());
    CHECK(b.gdb.ask("vCont;t:p2.-1") == "OK");
    CHECK(b.told().starts_with("Stop:T00thread:p2.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.first().vps[0].going);            // nobody has asked it to stop
    CHECK(b.gdb.ask("vCont;t:p2.1") == "OK"); // stands already
    CHECK(b.gdb.notifications().empty());
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK"); // goes already
    CHECK(b.gdb.ask("vCont;c:p9.1").starts_with("E"));
    CHECK(b.gdb.ask("vCont;t") == "OK");
    CHECK(b.told().starts_with("Stop:T00thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped").starts_with("T00thread:p1.2;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
}

TEST_CASE("a virtual processor is resumed beside one that goes, and a stop is both's", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK_FALSE(b.first().vps[1].going);
    REQUIRE(b.gdb.ask("Hgp1.2") == "OK");
    CHECK(b.gdb.ask("p10").size() == 16); // it stands
    REQUIRE(b.gdb.ask("Hgp1.1") == "OK");
    CHECK(b.gdb.ask("g").starts_with("E"));
    u64 const at = b.rip(1);
    CHECK(b.gdb.ask("vCont;s:p1.2") == "OK");
    CHECK(b.told().starts_with("Stop:T05thread:p1.2;"));
    CHECK(b.gdb.ask("vStopped").starts_with("T00thread:p1.1;")); // stopped along
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.rip(1) == at + 1);
}

TEST_CASE("while it goes its memory can be read and its points changed, its registers not", "[gdb]") {
    NonStop b;
    b.machine.instructions_per_look = 10;
    REQUIRE(b.gdb.ask("Hgp1.1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.gdb.ask("m1000,2") == "9090");
    CHECK(b.gdb.ask("M1000,1:cc") == "OK");
    CHECK(b.first().memory[0x1000] == 0xcc);
    CHECK(b.gdb.ask("p10").starts_with("E"));
    CHECK(b.gdb.ask("P10=0000000000000000").starts_with("E"));
    CHECK(b.gdb.ask("Z0,1400,1") == "OK");
    b.gdb.wait(200);
    CHECK(b.told().starts_with("Stop:T05swbreak:;thread:p1.1;"));
    CHECK(b.rip() == 0x1400);
    CHECK(b.gdb.ask("z0,1400,1") == "OK");
}

TEST_CASE("further stops wait until the one that was told is acknowledged", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;s:p1.1") == "OK");
    CHECK(b.told().starts_with("Stop:T05thread:p1.1;"));
    CHECK(b.gdb.ask("vCont;s:p2.1") == "OK");
    CHECK(b.gdb.ask("vCont;s:p2.1") == "OK"); // its stop is not told yet: for gdb it goes
    CHECK(b.gdb.notifications().empty());
    CHECK(b.gdb.ask("vStopped").starts_with("T05thread:p2.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.notifications().empty());
    CHECK(b.second().vps[0].get(RegisterId::Rip) == b.second().entry + 1);
}

TEST_CASE("vCtrlC stops what was resumed last, then the others", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;c:p2.1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.gdb.ask("vCtrlC") == "OK");
    CHECK(b.told().starts_with("Stop:T02thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vCtrlC") == "OK");
    CHECK(b.told().starts_with("Stop:T02thread:p2.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.gdb.ask("vCont;t:p1.1") == "OK");
    CHECK(b.told().starts_with("Stop:T00thread:p1.1;")); // nothing is left of the Ctrl-C
}

TEST_CASE("a crash is told, and again whenever it is to go on", "[gdb]") {
    NonStop b;
    b.first().memory[0x1000] = 0x0f, b.first().memory[0x1001] = 0x0b;
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.told().starts_with("Stop:T06thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.told().starts_with("Stop:T06thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vCont;c:p2.1") == "OK");
}

TEST_CASE("who ends is told once and leaves the list", "[gdb]") {
    NonStop b;
    b.second().memory[0x2000] = 0xf4;
    CHECK(b.gdb.ask("vCont;c:p2.1") == "OK");
    CHECK(b.told() == "Stop:W00;process:2");
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK_FALSE(contains(b.gdb.document("threads:read:"), "p2."));
    CHECK(b.gdb.ask("vCont;c:p2.1").starts_with("E"));
}

TEST_CASE("detaching or killing one that goes, or whose stop is not told, leaves nothing to tell", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;s:p1.1") == "OK");
    CHECK(b.gdb.ask("vCont;s:p2.1") == "OK");
    CHECK(b.told().starts_with("Stop:T05thread:p1.1;"));
    CHECK(b.gdb.ask("D;2") == "OK");
    CHECK_FALSE(b.second().attached);
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(b.gdb.ask("vKill;1") == "OK");
    CHECK_FALSE(b.first().on);
    CHECK(b.gdb.notifications().empty());
}

TEST_CASE("run and monitor reset are answered when it stands", "[gdb]") {
    NonStop b;
    REQUIRE(b.gdb.ask("Hgp1.1") == "OK");
    CHECK(b.gdb.ask("vCont;c:p1.1") == "OK");
    CHECK(contains(b.gdb.monitor("reset"), "stands before its first instruction"));
    CHECK(b.told().starts_with("Stop:T00thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(contains(b.gdb.monitor("reset"), "stands before its first instruction"));
    CHECK(b.gdb.notifications().empty()); // gdb had it stand
    CHECK(b.gdb.ask("vRun;").starts_with("T00thread:p1.1;"));
    CHECK(b.told().starts_with("Stop:T00thread:p1.2;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.rip() == b.first().entry);
}

TEST_CASE("a new gdb finds what the last one left going or stopped", "[gdb]") {
    NonStop b;
    CHECK(b.gdb.ask("vCont;c:p1.-1") == "OK");
    b.gdb.acknowledge = true;
    CHECK(b.gdb.connect(true).starts_with("T00thread:p1.1;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK(b.told().starts_with("Stop:T00thread:p1.2;"));
    CHECK(b.gdb.ask("vStopped") == "OK");
    CHECK_FALSE(b.second().attached); // it does not know of that one
    b.gdb.acknowledge = true;
    CHECK(b.gdb.connect(true).starts_with("T00thread:p1.1;"));
    b.gdb.acknowledge = true;
    CHECK(b.gdb.connect().starts_with("T05thread:p1.1;"));
    CHECK(b.gdb.notifications().empty());
}
