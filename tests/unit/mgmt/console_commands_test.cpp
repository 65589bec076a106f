// SPDX-License-Identifier: Apache-2.0
// Every command an operator can type, and what a wrong one is told.
#include "hv/mgmt/console_commands.hpp"
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace hv;
using namespace hv::mgmt;

namespace {
constexpr u64 kMib = MiB / kPageBytes;

class FakeOperator final : public Operator {
  public:
    std::vector<PartitionStatus> partitions;
    std::vector<NamedCounter> named;
    dm::Journal journals[4];
    std::vector<std::pair<u32, Request>> requests;
    std::string refusal; ///< of the next request
    bool intact = true;

    u32 partition_count() const override { return static_cast<u32>(partitions.size()); }
    PartitionStatus status(u32 index) override { return partitions.at(index); }
    HostStatus host() override {
        return {.total = 4096 * kMib,
                .free = 1000 * kMib,
                .reserve = 64 * kMib,
                .hypervisor = 30 * kMib,
                .cpus = 2,
                .nodes = 1,
                .uptime_seconds = 77,
                .backend = "a backend"};
    }
    u32 counters(u32, std::span<NamedCounter> into) override {
        u32 count = 0;
        for (NamedCounter const& c : named) {
            if (count < into.size()) {
                into[count++] = c;
            }
        }
        return count;
    }
    dm::Journal const& journal(u32 index) override { return journals[index]; }
    bool request(u32 index, Request what, TextBuffer& why) override {
        if (!refusal.empty()) {
            why.put(refusal);
            return false;
        }
        requests.emplace_back(index, what);
        return true;
    }
    bool check(TextBuffer& verdict) override {
        verdict.put(intact ? "1048576 frames, 2 partitions" : "frame 0x1234 has two owners");
        return intact;
    }
};

struct Console final : Answer {
    FakeOperator op;
    std::vector<std::string> lines;

    Console() {
        PartitionStatus web;
        web.name = "web";
        web.state = RunState::Running;
        web.assigned = 600 * kMib + 3;
        web.demand = 450 * kMib;
        web.wanted = 540 * kMib;
        web.reporting = true;
        web.memory_status = dm::MemoryStatus::Ok;
        web.minimum = 256 * kMib, web.startup = 512 * kMib, web.maximum = 2048 * kMib;
        web.buffer_percent = 20, web.priority = 5000;
        web.ballooned = 40 * kMib, web.hot_added = 128 * kMib;
        web.large_percent = 93;
        web.heartbeat = "OK", web.driver = "active";
        web.cpu = 1, web.uptime_seconds = 61, web.restarts = 2;
        PartitionStatus plain;
        plain.name = "plain";
        plain.state = RunState::Off;
        plain.detail = "powered off";
        plain.minimum = plain.startup = plain.maximum = 128 * kMib;
        plain.heartbeat = "none", plain.driver = "none";
        op.partitions = {web, plain};
    }
    void line(std::string_view text) override { lines.emplace_back(text); }
    /// All that @p command answers.
    std::string type(std::string_view command) {
        lines.clear();
        run_command(command, op, *this);
        std::string all;
        for (std::string const& l : lines) {
            all += l + "\n";
        }
        return all;
    }
};
bool has(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}
} // namespace

TEST_CASE("list is a table of all partitions and the host", "[mgmt]") {
    Console console;
    std::string const all = console.type("list");
    REQUIRE(console.lines.size() == 4);
    CHECK(console.lines[1] == "| web              | running  |      600 |    450 |   25% | OK           | "
                              "256/512/2048     |");
    CHECK(console.lines[2] == "| plain            | off      |        0 |      - |     - | not reported | "
                              "128/128/128      |");
    CHECK(console.lines[0].size() == console.lines[1].size()); // the head fits the rows
    CHECK(has(console.lines[0], "partition"));
    CHECK(console.lines[3] ==
          "host: 4096 MiB of RAM, 1000 MiB free, 64 MiB reserve, 30 MiB hypervisor; up 77 s");
}

TEST_CASE("a guest short of memory has negative availability", "[mgmt]") {
    Console console;
    console.op.partitions[0].demand = 750 * kMib;
    console.op.partitions[0].memory_status = dm::MemoryStatus::Warning;
    std::string const all = console.type("list");
    CHECK(has(all, "-24%")); // towards zero
    CHECK(has(all, "warning"));
}

TEST_CASE("show tells everything about one partition", "[mgmt]") {
    Console console;
    console.op.named = {{"nested faults", 12}, {"never happened", 0}, {"exits", 34'567}};
    std::string const all = console.type("show web");
    CHECK(has(all, "web: running\n"));
    CHECK(has(all, "processor 1, up 61 s, restarts 2, heartbeat OK"));
    CHECK(
        has(all, "assigned 600 MiB (153603 pages), ballooned 40 MiB, hot-added 128 MiB, 93% in large pages"));
    CHECK(has(all, "minimum 256 MiB, startup 512 MiB, maximum 2048 MiB, buffer 20%, priority 5000"));
    CHECK(has(all, "OK, demand 450 MiB, wanted 540 MiB, available 25%, pressure 74%, driver active"));
    CHECK(has(all, "nested faults                    12"));
    CHECK(has(all, "34567"));
    CHECK_FALSE(has(all, "never happened"));
}

TEST_CASE("show of a guest without the driver says so", "[mgmt]") {
    Console console;
    std::string const all = console.type("show plain");
    CHECK(has(all, "plain: off, powered off\n"));
    CHECK(has(all, "dynamic memory: not reported, driver none"));
}

TEST_CASE("start, restart and stop reach the partition that is named", "[mgmt]") {
    Console console;
    CHECK(console.type("start plain") == "plain: starting\n");
    CHECK(console.type("restart web") == "web: restarting\n");
    CHECK(has(console.type("stop web"), "web: asked to shut down"));
    CHECK(console.type("stop web off") == "web: turned off\n");
    CHECK(console.op.requests ==
          std::vector<std::pair<u32, Request>>{
              {1, Request::Start}, {0, Request::Restart}, {0, Request::Shutdown}, {0, Request::TurnOff}});
}

TEST_CASE("a request that makes no sense now is told why", "[mgmt]") {
    Console console;
    console.op.refusal = "it is running already";
    for (char const* command : {"start web", "stop web", "stop web off", "restart web"}) {
        CHECK(console.type(command) == "error: web: it is running already\n");
    }
    CHECK(console.op.requests.empty());
}

TEST_CASE("why tells the decisions, the oldest first", "[mgmt]") {
    Console console;
    CHECK(console.type("why web") == "web: nothing has been decided about it yet\n");
    dm::PartitionView const view{.assigned = 512 * kMib, .demand = 200 * kMib};
    for (u64 second : {10, 20}) {
        console.op.journals[0].record(second, {dm::Order::Kind::Balloon, dm::Reason::Idle, 64 * kMib}, view,
                                      240 * kMib, 0);
    }
    console.type("why web");
    REQUIRE(console.lines.size() == 2);
    CHECK(has(console.lines[0], "10 s: balloon 64 MiB, because it has not wanted this memory for long"));
    CHECK(has(console.lines[1], "20 s: balloon 64 MiB"));
}

TEST_CASE("check tells the proof or the first violation", "[mgmt]") {
    Console console;
    CHECK(console.type("check") == "check: ok 1048576 frames, 2 partitions\n");
    console.op.intact = false;
    CHECK(console.type("check") == "check: FAILED frame 0x1234 has two owners\n");
}

TEST_CASE("help names every command", "[mgmt]") {
    Console console;
    std::string const all = console.type("help");
    for (char const* usage : {"list", "show NAME", "start NAME", "stop NAME [off]", "restart NAME",
                              "why NAME", "check", "help"}) {
        CHECK(has(all, usage));
    }
}

TEST_CASE("nothing typed is nothing said, blanks do not matter", "[mgmt]") {
    Console console;
    CHECK(console.type("").empty());
    CHECK(console.type("    ").empty());
    CHECK(console.type("  stop   web   off  ") == "web: turned off\n");
}

TEST_CASE("an unknown command is told where the list is", "[mgmt]") {
    Console console;
    CHECK(console.type("lst") == "error: 'lst' is no command; 'help' lists them\n");
    CHECK(has(console.type("LIST"), "is no command")); // names are as they are written
    CHECK(has(console.type(std::string(300, 'x')), std::string(40, 'x') + "'"));
}

TEST_CASE("a command that lacks its name says what it wanted and which names there are", "[mgmt]") {
    Console console;
    for (std::string const command : {"show", "start", "stop", "restart", "why"}) {
        console.type(command);
        REQUIRE(console.lines.size() == 2);
        CHECK(has(console.lines[0],
                  "error: '" + command + "' wants the name of a partition, as in '" + command + " NAME"));
        CHECK(console.lines[1] == "error: partitions are: web, plain");
    }
    CHECK(console.op.requests.empty());
}

TEST_CASE("a name that nobody has is answered with those there are", "[mgmt]") {
    Console console;
    for (char const* name : {"we", "webs", "WEB", "0"}) {
        console.type(std::string{"stop "} + name);
        CHECK(console.lines[0] == "error: no partition is called '" + std::string{name} + "'");
        CHECK(console.lines[1] == "error: partitions are: web, plain");
    }
    CHECK(console.op.requests.empty());
}

TEST_CASE("words too many are refused, not ignored", "[mgmt]") {
    Console console;
    CHECK(console.type("list web") == "error: 'list' wants no 'web'; usage: list\n");
    CHECK(console.type("check now") == "error: 'check' wants no 'now'; usage: check\n");
    CHECK(console.type("help me") == "error: 'help' wants no 'me'; usage: help\n");
    CHECK(console.type("start web now") == "error: 'start' wants no 'now'; usage: start NAME\n");
    CHECK(console.type("show web all") == "error: 'show' wants no 'all'; usage: show NAME\n");
    CHECK(console.type("stop web off now") == "error: 'stop' wants no 'now'; usage: stop NAME [off]\n");
    CHECK(console.type("stop web of") == "error: 'stop' wants NAME, or NAME off; got 'of'\n");
    CHECK(console.op.requests.empty());
}

TEST_CASE("every state has a word", "[mgmt]") {
    for (RunState state : {RunState::Off, RunState::Waiting, RunState::Running, RunState::Halted,
                           RunState::Debug, RunState::Crashed}) {
        CHECK(std::string{text(state)} != "?");
    }
}

TEST_CASE("more counters than fit, long names and many partitions stay within their lines", "[mgmt]") {
    Console console;
    std::vector<std::string> names;
    for (u32 i = 0; i < 64; ++i) {
        names.push_back(std::string(28, 'n') + std::to_string(100 + i));
    }
    console.op.partitions.assign(64, console.op.partitions[0]);
    for (u32 i = 0; i < 64; ++i) {
        console.op.partitions[i].name = names[i];
    }
    console.op.named.assign(100, {"a counter", 5});
    console.type("list");
    CHECK(console.lines.size() == 66);
    console.type("show " + names[63]);
    CHECK(console.lines.size() == 5 + 96);
    console.type("show nobody");
    for (std::string const& line : console.lines) {
        CHECK(line.size() <= 256);
    }
}
