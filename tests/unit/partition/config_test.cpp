// SPDX-License-Identifier: Apache-2.0
// What a configuration is read as, and what a wrong one is told.
#include "hv/partition/config.hpp"
#include "tests/unit/partition/device_tree.hpp"
#include <random>

using namespace hv;
using namespace hv::partition;
using hv::test::Blob;
using hv::test::blob_of;
using hv::test::cell;
using hv::test::flag;
using hv::test::Node;
using hv::test::Property;

namespace {
Node const kWeb{"web", {test::text("kernel", "/images/vmlinuz"), cell("startup-mib", 512)}, {}};
Node const kHost{"host", {}, {}};

Node root(Node const& host, std::vector<Node> const& partitions) {
    return {"", {}, {host, {"partitions", {}, partitions}}};
}

/// What read_config() says of a tree. Keeps the tree: the configuration has views into it.
struct Read {
    Blob blob;
    Config config;
    std::string why;
    bool ok;

    explicit Read(Blob b) : blob{std::move(b)} {
        char space[400];
        TextBuffer text{space};
        ok = read_config(blob, config, text).ok();
        why = text.text();
        CHECK_FALSE(text.truncated());
        CHECK(ok == why.empty());
    }
    explicit Read(Node const& tree) : Read{blob_of(tree)} {}
    bool says(std::string const& part) const { return why.find(part) != std::string::npos; }
};

/// The complaint about a partition "web".
struct Refused : Read {
    explicit Refused(Node const& web) : Read{root(kHost, {web})} { CHECK_FALSE(ok); }
    /// It names node, key and value.
    bool names(std::string const& key, std::string const& value) const {
        return says("node 'web'") && says("key '" + key + "'") && says("value '" + value + "'");
    }
};
} // namespace

TEST_CASE("the example of the design is accepted as it is written", "[config]") {
    Read const read{test::compile(R"(
        host { reserve-mib = <64>; numa-spanning; management = "com2"; debugger = "com3"; };
        partitions {
          web { kernel = "/images/vmlinuz"; initrd = "/images/web.cpio.gz"; command-line = "console=ttyS0";
                processors = <1>; startup-mib = <512>; minimum-mib = <256>; maximum-mib = <2048>;
                buffer-percent = <20>; priority = <5000>; smart-paging-store = "paging0"; auto-start; };
        };)")};
    INFO(read.why);
    REQUIRE(read.ok);
    HostConfig const& host = read.config.host;
    CHECK(host.reserve_mib == 64);
    CHECK(host.numa_spanning);
    CHECK(host.management == "com2");
    CHECK(host.debugger == "com3");
    REQUIRE(read.config.partition_count == 1);
    PartitionConfig const& web = read.config.partitions[0];
    CHECK(web.name == "web");
    CHECK(web.kernel == "/images/vmlinuz");
    CHECK(web.initrd == "/images/web.cpio.gz");
    CHECK(web.command_line == "console=ttyS0");
    CHECK(web.processors == 1);
    CHECK(web.memory.startup_mib == 512);
    CHECK(web.memory.minimum_mib == 256);
    CHECK(web.memory.maximum_mib == 2048);
    CHECK(web.memory.buffer_percent == 20);
    CHECK(web.memory.priority == 5000);
    CHECK(web.smart_paging_store == "paging0");
    CHECK(web.auto_start);
    CHECK_FALSE(web.debug_wait);
    CHECK_FALSE(web.small_pages);
}

TEST_CASE("what is left out has its default", "[config]") {
    Read const read{Node{"", {}, {{"partitions", {}, {kWeb}}}}}; // not even a host node
    REQUIRE(read.ok);
    CHECK(read.config.host.reserve_mib == 64);
    CHECK_FALSE(read.config.host.numa_spanning);
    CHECK(read.config.host.management.empty());
    CHECK(read.config.host.idle_seconds == 60);
    PartitionConfig const& web = read.config.partitions[0];
    CHECK(web.memory.minimum_mib == 512); // static memory
    CHECK(web.memory.maximum_mib == 512);
    CHECK(web.memory.buffer_percent == 20);
    CHECK(web.memory.priority == 5000);
    CHECK(web.processors == 1);
    CHECK(web.initrd.empty());
    CHECK(web.module_count == 0);
    CHECK_FALSE(web.auto_start);
}

TEST_CASE("partitions keep the order in which they are written", "[config]") {
    Node other = kWeb;
    other.name = "other";
    Read const read{root(kHost, {kWeb, other})};
    REQUIRE(read.config.partition_count == 2);
    CHECK(read.config.partitions[0].name == "web");
    CHECK(read.config.partitions[1].name == "other");
}

TEST_CASE("modules are a list of texts", "[config]") {
    using namespace std::string_literals;
    Read const read{root(kHost, {kWeb.with({"modules", "/a\0/b two\0"s})})};
    REQUIRE(read.ok);
    REQUIRE(read.config.partitions[0].module_count == 2);
    CHECK(read.config.partitions[0].modules[1] == "/b two");
    CHECK(Refused{kWeb.with({"modules", "/a\0/b"s})}.says("key 'modules'"));
    std::string nine;
    for (int i = 0; i < 9; ++i) {
        nine += "/m\0"s;
    }
    CHECK(Refused{kWeb.with({"modules", nine})}.names("modules", "9"));
    nine.resize(8 * 3);
    CHECK(Read{root(kHost, {kWeb.with({"modules", nine})})}.ok);
}

TEST_CASE("a number outside its range is told the range", "[config]") {
    struct Limit {
        char const* key;
        u32 low, high;
    };
    auto const limit = GENERATE(values<Limit>({{"processors", 1, 1},
                                               {"startup-mib", 1, 16'777'216},
                                               {"minimum-mib", 1, 16'777'216},
                                               {"maximum-mib", 1, 16'777'216},
                                               {"buffer-percent", 5, 2000},
                                               {"priority", 0, 10'000}}));
    std::string const range =
        "allowed are " + std::to_string(limit.low) + " to " + std::to_string(limit.high);
    CAPTURE(limit.key);
    Refused const above{kWeb.with(cell(limit.key, limit.high + 1))};
    CHECK(above.names(limit.key, std::to_string(limit.high + 1)));
    CHECK(above.says(range));
    if (limit.low != 0) {
        Refused const below{kWeb.with(cell(limit.key, limit.low - 1))};
        CHECK(below.names(limit.key, std::to_string(limit.low - 1)));
        CHECK(below.says(range));
    }
}

TEST_CASE("the limits themselves are allowed", "[config]") {
    CHECK(Read{root(kHost, {kWeb.with(cell("buffer-percent", 5))})}.ok);
    CHECK(Read{root(kHost, {kWeb.with(cell("buffer-percent", 2000))})}.ok);
    CHECK(Read{root(kHost, {kWeb.with(cell("priority", 0))})}.ok);
    CHECK(Read{root(kHost, {kWeb.with(cell("priority", 10'000))})}.ok);
    CHECK(Read{root(kHost, {kWeb.with(cell("maximum-mib", 16'777'216))})}.ok);
    CHECK(Read{root(kHost, {kWeb.with(cell("minimum-mib", 1))})}.ok);
}

TEST_CASE("minimum, startup and maximum must be in that order", "[config]") {
    Refused const minimum{kWeb.with(cell("minimum-mib", 513))};
    CHECK(minimum.names("minimum-mib", "513"));
    CHECK(minimum.says("allowed are 1 to 512"));
    Refused const maximum{kWeb.with(cell("maximum-mib", 511)).with(cell("minimum-mib", 100))};
    CHECK(maximum.names("startup-mib", "512"));
    CHECK(maximum.says("allowed are 100 to 511"));
}

TEST_CASE("a partition needs a kernel and a size", "[config]") {
    CHECK(Refused{kWeb.without("kernel")}.names("kernel", ""));
    CHECK(Refused{kWeb.with(test::text("kernel", ""))}.names("kernel", ""));
    CHECK(Refused{kWeb.without("startup-mib")}.names("startup-mib", ""));
}

TEST_CASE("an unknown key is told the known ones", "[config]") {
    Refused const typo{kWeb.with(cell("startup-mb", 512))};
    CHECK(typo.names("startup-mb", "<512>"));
    CHECK(typo.says("startup-mib"));
    Read const host{root(kHost.with(flag("numa")), {kWeb})};
    CHECK_FALSE(host.ok);
    CHECK(host.says("node 'host', key 'numa'"));
    CHECK(host.says("numa-spanning"));
}

TEST_CASE("a value that is refused for its key or its kind is shown as it was written", "[config]") {
    using namespace std::string_literals;
    auto const shown = [](Property const& property, std::string const& value) {
        Refused const refused{kWeb.with(property)};
        INFO(refused.why);
        CHECK(refused.names(property.key, value));
    };
    shown(cell("memory", 7), "<7>");
    shown(flag("memory"), "");
    shown(test::text("memory", "lots"), "lots");
    shown(test::text("memory", std::string(3000, 'x')), std::string(40, 'x'));
    shown({"memory", "\0\0\0\1\0\0\0\2"s}, "8 bytes");
    shown({"memory", "no end"}, "6 bytes");
    shown(test::text("priority", "high"), "high");
    shown(cell("auto-start", 1), "<1>");
    shown({"kernel", "two\0texts\0"s}, "two");
}

TEST_CASE("nothing that is written is left out silently", "[config]") {
    Node tree = root(kHost, {kWeb});
    std::string where;
    SECTION("a key in the root") {
        tree.properties.push_back(cell("reserve-mib", 64));
        where = "node '/', key 'reserve-mib'";
    }
    SECTION("an unknown node in the root") {
        tree.children.push_back({"partition", {}, {}});
        where = "node 'partition'";
    }
    SECTION("a key beside the partitions") {
        tree.children[1].properties.push_back(cell("startup-mib", 512));
        where = "node 'partitions', key 'startup-mib'";
    }
    SECTION("a node in the host") {
        tree.children[0].children.push_back({"memory", {}, {}});
        where = "node 'host'";
    }
    SECTION("a node in a partition") {
        tree.children[1].children[0].children.push_back({"memory", {cell("startup-mib", 512)}, {}});
        where = "node 'web'";
    }
    Read const read{tree};
    CHECK_FALSE(read.ok);
    INFO(read.why);
    CHECK(read.says(where));
    CHECK(read.says("is not known here"));
}

TEST_CASE("a value of the wrong kind is told what it should look like", "[config]") {
    using namespace std::string_literals;
    CHECK(Refused{kWeb.with({"startup-mib", "\0\0\0\0\0\0\2\0"s})}.says("as in <512>")); // two cells
    CHECK(Refused{kWeb.with(flag("startup-mib"))}.says("as in <512>"));
    CHECK(Refused{kWeb.with(test::text("priority", "high"))}.says("as in <512>"));
    CHECK(Refused{kWeb.with(flag("command-line"))}.says("as in \"text\""));
    CHECK(Refused{kWeb.with({"command-line", "no end"})}.says("as in \"text\""));
    CHECK(Refused{kWeb.with({"kernel", "two\0texts\0"s})}.says("as in \"text\""));
    CHECK(Refused{kWeb.with(cell("auto-start", 1))}.says("takes no value"));
    CHECK(Refused{kWeb.with(test::text("command-line", std::string(2048, 'x')))}.says("too long"));
    CHECK(Read{root(kHost, {kWeb.with(test::text("command-line", std::string(2047, 'x')))})}.ok);
    CHECK(Refused{kWeb.with(test::text("kernel", std::string(128, 'x')))}.says("too long"));
}

TEST_CASE("a partition's name is short, there, and its own", "[config]") {
    Node const named = {std::string(31, 'n'), kWeb.properties, {}};
    CHECK(Read{root(kHost, {named})}.ok);
    Read const long_name{root(kHost, {{std::string(32, 'n'), kWeb.properties, {}}})};
    CHECK_FALSE(long_name.ok);
    CHECK(long_name.says("1 to 31 characters"));
    Read const twice{root(kHost, {kWeb, kWeb})};
    CHECK_FALSE(twice.ok);
    CHECK(twice.says("node 'web'"));
    CHECK(twice.says("another partition"));
}

TEST_CASE("serial ports are com2 to com4, and not the same twice", "[config]") {
    auto const host = [](std::string const& management, std::string const& debugger) {
        return Read{root(
            kHost.with(test::text("management", management)).with(test::text("debugger", debugger)), {kWeb})};
    };
    CHECK(host("com2", "com4").ok);
    for (char const* port : {"com1", "com5", "com0", "ttyS0", ""}) {
        Read const read = host(port, "com3");
        CHECK_FALSE(read.ok);
        CHECK(read.says("key 'management'"));
        CHECK(read.says("allowed are com2, com3 and com4"));
    }
    CHECK(host("com2", "com2").says("key 'debugger', value 'com2'"));
}

TEST_CASE("64 partitions are read, one more is refused", "[config]") {
    std::vector<Node> many;
    for (u32 i = 0; i < kMaxPartitions; ++i) {
        many.push_back({"p" + std::to_string(i), kWeb.properties, {}});
    }
    CHECK(Read{root(kHost, many)}.config.partition_count == kMaxPartitions);
    many.push_back(kWeb);
    Read const read{root(kHost, many)};
    CHECK_FALSE(read.ok);
    CHECK(read.says("allowed are 64"));
}

TEST_CASE("a configuration without partitions has nothing to run", "[config]") {
    CHECK(Read{Node{"", {}, {kHost}}}.says("key 'partitions'"));
    CHECK(Read{root(kHost, {})}.says("key 'partitions'"));
}

TEST_CASE("what is no device tree is refused as such", "[config]") {
    CHECK(Read{Blob{}}.says("ballast.dtb is damaged"));
    CHECK(Read{Blob(100)}.says("ballast.dtb is damaged"));
    Blob const good = blob_of(root(kHost, {kWeb}));
    for (usize length = 0; length < good.size(); ++length) {
        CHECK_FALSE(Read{Blob{good.begin(), good.begin() + static_cast<long>(length)}}.ok);
    }
}

TEST_CASE("flipped bytes never crash the reader, and it never says nothing", "[config][random]") {
    Blob const good = blob_of(root(kHost.with(test::text("management", "com2")),
                                   {kWeb.with(test::text("initrd", "/i")).with(cell("priority", 7)), kWeb}));
    std::mt19937_64 random{1};
    char space[400];
    for (u32 i = 0; i < 20'000; ++i) {
        Blob bad = good;
        for (u64 n = 1 + random() % 4; n-- > 0;) {
            bad[random() % bad.size()] = static_cast<u8>(random());
        }
        Config config;
        TextBuffer why{space};
        bool const ok = read_config(bad, config, why).ok();
        REQUIRE(ok == why.text().empty());
        if (ok) {
            REQUIRE(config.partition_count <= kMaxPartitions);
            for (u32 p = 0; p < config.partition_count; ++p) {
                MemoryConfig const& m = config.partitions[p].memory;
                REQUIRE((m.minimum_mib <= m.startup_mib && m.startup_mib <= m.maximum_mib));
            }
        }
    }
}

namespace {
std::string fits(std::vector<Node> const& partitions, u64 available_mib, u32 reserve_mib = 64) {
    Read const read{root(kHost.with(cell("reserve-mib", reserve_mib)), partitions)};
    REQUIRE(read.ok);
    char space[300];
    TextBuffer why{space};
    bool const ok = check_fits(read.config, available_mib, why).ok();
    CHECK(ok == why.text().empty());
    return std::string{why.text()};
}
Node of_size(std::string const& name, u32 startup_mib, bool auto_start = true) {
    Node node{name, kWeb.with(cell("startup-mib", startup_mib)).properties, {}};
    return auto_start ? node.with(flag("auto-start")) : node;
}
bool has(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}
} // namespace

TEST_CASE("partitions that start by themselves must fit together with the reserve", "[config]") {
    CHECK(fits({of_size("a", 500), of_size("b", 436)}, 1000).empty());
    std::string const why = fits({of_size("a", 500), of_size("b", 437)}, 1000);
    CHECK(has(why, "node 'b', key 'startup-mib', value '437'"));
    CHECK(has(why, "allowed are at most 436"));
    CHECK(has(why, "936 MiB are for guests"));
}

TEST_CASE("a partition started by hand must fit alone", "[config]") {
    CHECK(fits({of_size("a", 500), of_size("b", 936, false)}, 1000).empty());
    CHECK(fits({of_size("a", 936, false), of_size("b", 936)}, 1000).empty());
    CHECK(has(fits({of_size("a", 500), of_size("b", 937, false)}, 1000), "node 'b'"));
    CHECK(has(fits({of_size("a", 16'777'216), of_size("b", 16'777'216)}, 1000), "node 'a'"));
}

TEST_CASE("a reserve of all memory leaves nothing to run guests in", "[config]") {
    CHECK(has(fits({of_size("a", 1)}, 1000, 1000), "node 'host', key 'reserve-mib', value '1000'"));
    CHECK(has(fits({of_size("a", 1)}, 0, 0), "key 'reserve-mib'"));
    CHECK(fits({of_size("a", 1)}, 1000, 999).empty());
}
