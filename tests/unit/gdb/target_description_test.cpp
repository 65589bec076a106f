// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/target_description.hpp"
#include "tests/fakes/gdb_client.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <set>

using namespace hv;
using namespace hv::gdb;

namespace {
std::string description(Layout layout) {
    auto writer = std::make_unique<PacketWriter>();
    writer->stop_acks();
    {
        DocumentWindow window{*writer, 0, 0x4000};
        describe(layout, window);
    }
    test::PacketParser parser;
    parser.take(writer->pending());
    return parser.packets.at(0).substr(1);
}

struct Described {
    u32 number, bits;
    std::string type, feature;
};
/// The registers of a description as gdb reads it.
std::map<std::string, Described> registers(std::string const& xml) {
    std::map<std::string, Described> found;
    std::string feature;
    u32 next = 0;
    for (usize at = xml.find('<'); at != xml.npos; at = xml.find('<', at + 1)) {
        std::string const tag = xml.substr(at, xml.find('>', at) - at);
        auto attribute = [&](std::string const& name) -> std::string {
            auto const from = tag.find(' ' + name + "=\"");
            if (from == tag.npos) return "";
            auto const first = from + name.size() + 3;
            return tag.substr(first, tag.find('"', first) - first);
        };
        if (tag.starts_with("<feature ")) feature = attribute("name");
        if (!tag.starts_with("<reg ")) continue;
        if (!attribute("regnum").empty()) next = static_cast<u32>(std::stoul(attribute("regnum")));
        REQUIRE(found.count(attribute("name")) == 0);
        found[attribute("name")] = {next++, static_cast<u32>(std::stoul(attribute("bitsize"))),
                                    attribute("type"), feature};
    }
    return found;
}
constexpr Layout kLayouts[] = {{Arch::X64, true},   {Arch::X64, false},   {Arch::I386, true},
                               {Arch::I386, false}, {Arch::I8086, false}, {Arch::I8086, true}};
} // namespace

TEST_CASE("a description names every register that the packets carry, with its number and size", "[gdb]") {
    for (Layout const layout : kLayouts) {
        auto const described = registers(description(layout));
        usize count = 0;
        std::set<u32> numbers;
        for (RegisterCursor r{layout}; r.valid(); r.next(), ++count) {
            auto const match = std::find_if(described.begin(), described.end(),
                                            [&](auto const& d) { return d.second.number == r.number(); });
            REQUIRE(match != described.end());
            CHECK(match->second.bits == r.wire_bytes() * 8);
            CHECK(numbers.insert(r.number()).second);
            RegisterCursor const again = find_register(layout, r.number());
            CHECK(again.id() == r.id());
        }
        CHECK(described.size() == count);
        CHECK_FALSE(find_register(layout, count).valid());
        CHECK_FALSE(find_register(layout, ~0ull).valid());
        CHECK((described.count("ymm0h") != 0) == layout.avx);
    }
}

TEST_CASE("the expedited registers and the core have the numbers gdb knows", "[gdb]") {
    auto const wide = registers(description({Arch::X64, true}));
    CHECK(wide.at("rax").number == 0);
    CHECK(wide.at("rbx").number == 1);
    CHECK(wide.at("rbp").number == 6);
    CHECK(wide.at("rsp").number == 7);
    CHECK(wide.at("r15").number == 15);
    CHECK(wide.at("rip").number == 16);
    CHECK(wide.at("gs").number == 23);
    CHECK(wide.at("rip").type == "code_ptr");
    CHECK(wide.at("fs_base").feature == "org.gnu.gdb.i386.segments");
    CHECK(wide.at("cr0").type == "cr0_flags");
    CHECK(wide.at("st0").bits == 80);
    auto const narrow = registers(description({Arch::I386, true}));
    CHECK(narrow.at("esp").number == 4);
    CHECK(narrow.at("ebp").number == 5);
    CHECK(narrow.at("eip").number == 8);
    CHECK(narrow.at("fs_base").feature == "org.ballast.hv.system");
    CHECK(narrow.count("xmm7") == 1);
    CHECK(narrow.count("xmm8") == 0);
    CHECK(narrow.count("rax") == 0);
}

TEST_CASE("every register the target has is in the wide description", "[gdb]") {
    std::set<RegisterId> seen;
    for (RegisterCursor r{{Arch::X64, true}}; r.valid(); r.next()) {
        seen.insert(r.id());
    }
    // FS and GS are shown by their bases as well; every RegisterId is there.
    CHECK(seen.size() == static_cast<usize>(RegisterId::Count));
}

TEST_CASE("each description says what files it can be used with", "[gdb]") {
    CHECK(description({Arch::X64, true})
              .find("<architecture>i386:x86-64</architecture><compatible>i386</compatible><compatible>i8086</"
                    "compatible>") != std::string::npos);
    CHECK(description({Arch::I386, true})
              .find("<architecture>i386</architecture><compatible>i386:x86-64</compatible><feature") !=
          std::string::npos);
    CHECK(description({Arch::I8086, true})
              .find("<architecture>i8086</architecture><compatible>i386:x86-64</compatible>") !=
          std::string::npos);
}

TEST_CASE("flags types name the manual's bits", "[gdb]") {
    std::string const xml = description({Arch::X64, true});
    for (char const* field :
         {"\"PG\" start=\"31\"", "\"WP\" start=\"16\"", "\"AM\" start=\"18\"", "\"NW\" start=\"29\"",
          "\"PCIDE\" start=\"17\"", "\"SMAP\" start=\"21\"", "\"PKS\" start=\"24\"",
          "\"FSGSBASE\" start=\"16\"", "\"LMA\" start=\"10\"", "\"TCE\" start=\"15\"",
          "\"SVME\" start=\"12\"", "\"OF\" start=\"11\"", "\"ID\" start=\"21\"", "\"NT\" start=\"14\"",
          "\"FZ\" start=\"15\"", "\"PM\" start=\"12\""}) {
        CHECK(xml.find(field) != std::string::npos);
    }
}

TEST_CASE("a document is the same in pieces of any size", "[gdb]") {
    std::string const whole = description({Arch::X64, true});
    for (u64 const piece : {u64{1}, u64{7}, u64{100}, u64{0x1000}}) {
        std::string joined;
        for (bool more = true; more;) {
            auto writer = std::make_unique<PacketWriter>();
            writer->stop_acks();
            {
                DocumentWindow window{*writer, joined.size(), piece};
                describe({Arch::X64, true}, window);
            }
            test::PacketParser parser;
            parser.take(writer->pending());
            more = parser.packets.at(0)[0] == 'm';
            REQUIRE(parser.packets.at(0).size() <= piece + 1);
            joined += parser.packets.at(0).substr(1);
            if (piece == 1 && joined.size() > 500) break;
        }
        CHECK(whole.starts_with(joined));
        if (piece != 1) CHECK(joined == whole);
    }
}

TEST_CASE("text in a document cannot become a tag", "[gdb]") {
    auto writer = std::make_unique<PacketWriter>();
    writer->stop_acks();
    {
        DocumentWindow window{*writer, 0, 100};
        window.put_escaped("a<b&\"c*");
    }
    test::PacketParser parser;
    parser.take(writer->pending());
    CHECK(parser.packets.at(0) == "la&lt;b&amp;&quot;c*");
}
