// SPDX-License-Identifier: Apache-2.0
// Registers, memory, points.
#include "tests/unit/gdb/session_fixture.hpp"

using namespace hv;
using namespace hv::test;

namespace {
/// A value's bytes as the packets have them.
std::string little(u64 value, u32 bytes) {
    std::string text;
    for (; bytes != 0; --bytes, value >>= 8) {
        text += hex_of(std::string(1, static_cast<char>(value)));
    }
    return text;
}
} // namespace

TEST_CASE("g carries the general and system registers in the description's order", "[gdb]") {
    Bench b;
    b.gdb.connect();
    auto& vp = b.first().vps[0];
    vp.set(RegisterId::Rax, 0x1111'2222'3333'4444);
    vp.set(RegisterId::Rbx, 0xbb);
    vp.set(RegisterId::R15, 0xffff'ffff'ffff'ffff);
    vp.set(RegisterId::Rflags, 0x246);
    vp.set(RegisterId::Cs, 0x10);
    vp.set(RegisterId::Gs, 0xdead'0033); // a selector is two bytes
    vp.set(RegisterId::GsBase, 0xffff'8880'0000'0000);
    vp.set(RegisterId::Cr3, 0x1234'5000);
    std::string const g = b.gdb.ask("g");
    CHECK(g.size() == 2 * (16 * 8 + 8 + 7 * 4 + 2 * 8 + 13 * 8));
    CHECK(g.substr(0, 16) == "4444333322221111");
    CHECK(g.substr(16, 16) == little(0xbb, 8));
    CHECK(g.substr(240, 16) == "ffffffffffffffff");
    CHECK(g.substr(272, 8) == "46020000");
    CHECK(g.substr(280, 8) == "10000000");
    CHECK(g.substr(320, 8) == "33000000");
    CHECK(g.substr(344, 16) == little(0xffff'8880'0000'0000, 8));
    CHECK(b.gdb.ask("p1d") == little(0x1234'5000, 8)); // cr3
    CHECK(b.gdb.ask("p17") == "33000000");
}

TEST_CASE("P and G write registers, and nothing that has another size", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.ask("P0=8877665544332211") == "OK");
    CHECK(b.first().vps[0].get(RegisterId::Rax) == 0x1122'3344'5566'7788);
    CHECK(b.gdb.ask("P0=88776655443322") == "E01");
    CHECK(b.gdb.ask("P0=887766554433221100") == "E01");
    CHECK(b.gdb.ask("P0=8877665544332xx1") == "E01");
    CHECK(b.gdb.ask("P12=23000000") == "OK");
    CHECK(b.first().vps[0].get(RegisterId::Cs) == 0x23);
    CHECK(b.gdb.ask("P12=10000100") == "E01"); // a selector has 16 bits
    CHECK(b.first().vps[0].get(RegisterId::Cs) == 0x23);
    std::string g = b.gdb.ask("g");
    g.replace(16, 16, "0100000000000080");
    CHECK(b.gdb.ask("G" + g) == "OK");
    CHECK(b.first().vps[0].get(RegisterId::Rbx) == 0x8000'0000'0000'0001);
    CHECK(b.gdb.ask("g") == g);
    CHECK(b.gdb.ask("G" + g.substr(0, 7)) == "E01");
    CHECK(b.gdb.ask("G" + g + "00") == "E01");
}

TEST_CASE("what cannot be read is unavailable", "[gdb]") {
    Bench b;
    b.machine.has_avx = false;
    b.gdb.connect(); // before it stands nobody can say
    std::string const description = b.gdb.document("features:read:target.xml");
    CHECK_FALSE(contains(description, "ymm0h"));
    b.machine.has_avx = true;
    CHECK(contains(b.gdb.document("features:read:target.xml"), "ymm0h"));
    b.machine.has_avx = false;
    u32 number = 0;
    for (gdb::RegisterCursor r{{gdb::Arch::X64, true}}; r.id() != RegisterId::Ymm0h; r.next()) {
        ++number;
    }
    char packet[16];
    std::snprintf(packet, sizeof packet, "p%x", number);
    CHECK(b.gdb.ask(packet) == std::string(32, 'x'));
    CHECK(b.gdb.ask("P" + std::string{packet + 1} + "=" + std::string(32, '0')) == "E01");
}

TEST_CASE("each thread has its own registers", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.first().vps[1].set(RegisterId::Rax, 2);
    CHECK(b.gdb.ask("p0") == little(0, 8));
    CHECK(b.gdb.ask("Hgp1.2") == "OK");
    CHECK(b.gdb.ask("p0") == little(2, 8));
    CHECK(b.gdb.ask("Hgp1.0") == "OK");
    CHECK(b.gdb.ask("Hgp1.-1") == "OK");
    CHECK(b.gdb.ask("Hc-1") == "OK");
    CHECK(b.gdb.ask("Hgp2.1") == "E01"); // not attached
}

TEST_CASE("the description that was served decides how packets look", "[gdb]") {
    Bench b;
    b.gdb.connect();
    usize const wide = b.gdb.ask("g").size();
    CHECK(contains(b.gdb.monitor("arch 32"), "unset tdesc filename"));
    CHECK(b.gdb.ask("g").size() == wide); // gdb has not read it yet
    CHECK(contains(b.gdb.document("features:read:target.xml"), "<architecture>i386</architecture>"));
    b.first().vps[0].set(RegisterId::Rcx, 0x1'2345'6789);
    std::string const g = b.gdb.ask("g");
    CHECK(g.size() == 2 * (8 * 4 + 8 + 6 * 4 + 2 * 4 + 11 * 4 + 2 * 8));
    CHECK(g.substr(8, 8) == "89674523");
    CHECK(b.gdb.ask("P1=ffffffff") == "OK");
    CHECK(b.first().vps[0].get(RegisterId::Rcx) == 0xffff'ffff); // as the processor does it
    b.gdb.monitor("arch 64");
    CHECK(contains(b.gdb.document("features:read:target.xml"), "<architecture>i386:x86-64</architecture>"));
    CHECK(b.gdb.ask("g").size() == wide);
}

TEST_CASE("RIP and RSP are linear outside 64-bit code, and written back as they are", "[gdb]") {
    Bench b;
    b.first().bits = 16;
    b.gdb.connect();
    auto& vp = b.first().vps[0];
    vp.set(RegisterId::CsBase, 0xf'0000);
    vp.set(RegisterId::SsBase, 0x2'0000);
    vp.set(RegisterId::Rip, 0xfff0);
    vp.set(RegisterId::Rsp, 0xabcd'0ffe);
    CHECK(b.gdb.ask("p10") == little(0xf'fff0, 8));
    CHECK(b.gdb.ask("p7") == little(0x2'0ffe, 8));
    CHECK(b.gdb.ask("P10=" + little(0xf'0010, 8)) == "OK");
    CHECK(vp.get(RegisterId::Rip) == 0x10);
    CHECK(b.gdb.ask("P7=" + little(0x2'0100, 8)) == "OK");
    CHECK(vp.get(RegisterId::Rsp) == 0x100);
    CHECK(contains(b.gdb.ask("vCont;s:p1.1"), "10:" + little(0xf'0011, 8)));
    u32 raw = 0;
    for (gdb::RegisterCursor r{{}}; std::string_view{r.entry().name} != "raw_ip"; r.next()) {
        ++raw;
    }
    char packet[16];
    std::snprintf(packet, sizeof packet, "p%x", raw);
    CHECK(b.gdb.ask(packet) == little(0x11, 8));
    std::snprintf(packet, sizeof packet, "p%x", raw + 1);
    CHECK(b.gdb.ask(packet) == little(0x100, 8));
    b.first().bits = 32;
    vp.set(RegisterId::Rsp, 0x1'0000);
    CHECK(b.gdb.ask("p7") == little(0x3'0000, 8));
    b.first().bits = 64;
    CHECK(b.gdb.ask("p7") == little(0x1'0000, 8));
}

TEST_CASE("a stop that the description cannot express says so once, without a reason", "[gdb]") {
    Bench b;
    b.first().entry = DebuggedPartition::kHighHalf + 0x1000;
    b.first().start();
    b.gdb.connect();
    b.gdb.monitor("arch 32");
    b.gdb.document("features:read:target.xml");
    b.gdb.send("vCont;s:p1.1");
    b.gdb.wait(3);
    auto packets = b.gdb.taken();
    REQUIRE(packets.size() == 2);
    CHECK(contains(from_hex(packets[0].substr(1)), "64-bit now"));
    CHECK(packets[1].starts_with("T05thread:p1.1;05:00000000;04:00000800;08:"));
    b.gdb.ask("Z0,ffffffff80001010,1");
    CHECK(b.gdb.ask("vCont;c:p1.1").starts_with("T05thread:p1.1;"));
}

TEST_CASE("memory is read as far as it goes", "[gdb]") {
    Bench b;
    b.gdb.connect();
    b.first().memory[0x9000] = 0xab;
    CHECK(b.gdb.ask("m9000,2") == "ab00");
    CHECK(b.gdb.ask("mffffffff80009000,1") == "ab");
    CHECK(b.gdb.ask("m1ffffe,8") == "0000");
    CHECK(b.gdb.ask("m200000,1") == "E0e");
    CHECK(b.gdb.ask("m0,ffffffffffffffff").size() == 0x4000);
    CHECK(b.gdb.ask("ma000,1fff") == std::string(0x3ffe, '0'));
}

TEST_CASE("memory is written all or not at all, in digits and in bytes", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.ask("M9000,3:010203") == "OK");
    CHECK(b.gdb.ask("X9003,4:}\x03}\x04}]*") == "OK");
    CHECK(b.gdb.ask("m9000,7") == "01020323247d2a");
    CHECK(b.gdb.ask("X9000,0:") == "OK");
    CHECK(b.gdb.ask("M1fffff,2:0102") == "E0e");
    CHECK(b.first().memory[0x1f'ffff] == 0);
    std::string const block(0x1ff0, '\x5a');
    CHECK(b.gdb.ask("Ma000,1ff0:" + hex_of(block)) == "OK");
    CHECK(b.gdb.ask("ma000,1ff0") == hex_of(block));
}

TEST_CASE("addresses are physical while the user says so, and the map is told only then", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.ask("qXfer:memory-map:read::0,1000") == "E01");
    CHECK(contains(b.gdb.monitor("phys on"), "guest-physical"));
    CHECK(b.gdb.ask("mffffffff80009000,1") == "E0e");
    CHECK(b.gdb.document("memory-map:read:") ==
          "<memory-map><memory type=\"ram\" start=\"0x0\" length=\"0x100000\"/>"
          "<memory type=\"ram\" start=\"0x180000\" length=\"0x80000\"/></memory-map>");
    b.machine.holes = 1000; // more than are listed: gdb must not refuse the others by itself
    std::string const map = b.gdb.document("memory-map:read:");
    CHECK(map.starts_with("<memory-map><memory type=\"ram\" start=\"0x0\" length=\"0x1000\"/>"));
    CHECK(map.ends_with("<memory type=\"ram\" start=\"0x100000\" length=\"0xffffffff00000\"/></memory-map>"));
    b.gdb.monitor("phys off");
    CHECK(b.gdb.ask("mffffffff80009000,1") == "00");
}

TEST_CASE("points can be inserted and removed again and again", "[gdb]") {
    Bench b;
    b.gdb.connect();
    for (int i = 0; i < 3; ++i) {
        CHECK(b.gdb.ask("Z0,1200,1") == "OK");
    }
    CHECK(b.first().points.size() == 1);
    CHECK(b.gdb.ask("Z2,9000,40") == "OK");
    CHECK(b.first().points[1].spec.bytes == 0x40);
    CHECK(b.gdb.ask("z0,1200,1") == "OK");
    CHECK(b.gdb.ask("z0,1200,1") == "OK");
    CHECK(b.gdb.ask("z2,9000,40") == "OK");
    CHECK(b.first().points.empty());
    CHECK(b.gdb.ask("Z3,9000,1").empty()); // gdb takes an access watchpoint
    for (int i = 0; i < 32; ++i) {
        CHECK(b.gdb.ask("Z1,12" + hex_of(std::string(1, static_cast<char>(i))) + ",1") == "OK");
    }
    CHECK(b.gdb.ask("Z0,9999,1") == "E1c");
}

TEST_CASE("conditions go to the target with the registers it knows", "[gdb]") {
    Bench b;
    b.gdb.connect();
    CHECK(b.gdb.ask("Z0,1200,1;X9,260005164022051327X4,22012702") == "OK");
    auto& conditions = b.first().points.at(0).conditions;
    CHECK(conditions ==
          std::vector<u8>{0, 9, 0x26, 0, 7, 0x16, 0x40, 0x22, 5, 0x13, 0x27, 0, 4, 0x22, 1, 0x27, 2});
    // The same point with other ones: replaced.
    CHECK(b.gdb.ask("Z0,1200,1;X3,220127;cmds:0,X3,220027") == "OK");
    REQUIRE(b.first().points.size() == 1);
    CHECK(b.first().points[0].conditions == std::vector<u8>{0, 3, 0x22, 1, 0x27});
    CHECK(b.gdb.ask("Z0,1200,1") == "OK");
    CHECK(b.first().points[0].conditions.empty());
}

TEST_CASE("a condition that cannot be had leaves a point that is always hit", "[gdb]") {
    Bench b;
    b.gdb.connect();
    for (char const* list : {";X3,010203", ";X3,2201", ";X,220127", ";X3220127", ";X3,22zz27", ";X0,",
                             ";X4,26ffff27", ";Xffffffffffffffff,00", ";cmds:1,X1,27", ";y"}) {
        INFO(list);
        b.first().points.clear();
        CHECK(b.gdb.ask("Z0,1200,1" + std::string{list}) == "OK");
        REQUIRE(b.first().points.size() == 1);
        CHECK(b.first().points[0].conditions.empty());
    }
    b.machine.room_for_conditions = 4;
    CHECK(b.gdb.ask("Z0,1200,1;X3,220127") == "OK");
    CHECK(b.first().points[0].conditions.empty());
}
