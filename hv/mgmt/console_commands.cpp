// SPDX-License-Identifier: Apache-2.0
#include "hv/mgmt/console_commands.hpp"

namespace hv::mgmt {
namespace {
constexpr u64 mib(u64 pages) {
    return pages / (MiB / kPageBytes);
}

/// A line of answer being put together.
struct Line {
    char space[256];
    TextBuffer text{space};
    Answer& answer;
    explicit Line(Answer& a) : answer{a} {}
    void say_formatted(std::string_view pattern, FormatArgs args) {
        text.clear();
        format_to(text, pattern, args);
        answer.line(text.text());
    }
    template <class... Args>
    void say(std::string_view pattern, Args const&... args) {
        say_formatted(pattern, FormatPack{args...});
    }
};

std::string_view next_word(std::string_view& rest) {
    while (!rest.empty() && rest.front() == ' ') {
        rest.remove_prefix(1);
    }
    usize end = 0;
    while (end < rest.size() && rest[end] != ' ') {
        ++end;
    }
    std::string_view const word = rest.substr(0, end);
    rest.remove_prefix(end);
    return word;
}

using Handler = void (*)(u32 partition, std::string_view argument, Operator&, Answer&);
struct Command {
    std::string_view name;
    std::string_view usage;
    std::string_view help;
    bool wants_partition;
    Handler run;
};
std::span<Command const> commands();

constexpr char kRow[] = "| {:-16} | {:-8} | {:8} | {:6} | {:5} | {:-12} | {:-16} |";

void list(u32, std::string_view, Operator& op, Answer& answer) {
    Line line{answer};
    line.say("| {:-16} | {:-8} | {:-8} | {:-6} | {:-5} | {:-12} | {:-16} |", "partition", "state", "assigned",
             "demand", "avail", "status", "min/startup/max");
    for (u32 i = 0; i < op.partition_count(); ++i) {
        PartitionStatus const p = op.status(i);
        char space[48];
        TextBuffer sizes{space};
        format(sizes, "{}/{}/{}", mib(p.minimum), mib(p.startup), mib(p.maximum));
        if (p.reporting) {
            char percent[16];
            TextBuffer available{percent};
            format(available, "{}%", dm::availability_percent(p.assigned, p.demand));
            line.say(kRow, p.name, text(p.state), mib(p.assigned), mib(p.demand), available.text(),
                     dm::text(p.memory_status), sizes.text());
        } else {
            line.say(kRow, p.name, text(p.state), mib(p.assigned), "-", "-", dm::text(p.memory_status),
                     sizes.text());
        }
    }
    HostStatus const h = op.host();
    line.say("host: {} MiB of RAM, {} MiB free, {} MiB reserve, {} MiB hypervisor; up {} s", mib(h.total),
             mib(h.free), mib(h.reserve), mib(h.hypervisor), h.uptime_seconds);
}

void show(u32 i, std::string_view, Operator& op, Answer& answer) {
    PartitionStatus const p = op.status(i);
    Line line{answer};
    line.say("{}: {}{}{}", p.name, text(p.state), p.detail.empty() ? "" : ", ", p.detail);
    line.say("  processor {}, up {} s, restarts {}, heartbeat {}", p.cpu, p.uptime_seconds, p.restarts,
             p.heartbeat);
    line.say("  memory: assigned {} MiB ({} pages), ballooned {} MiB, hot-added {} MiB, {}% in large pages",
             mib(p.assigned), p.assigned, mib(p.ballooned), mib(p.hot_added), p.large_percent);
    line.say("  settings: minimum {} MiB, startup {} MiB, maximum {} MiB, buffer {}%, priority {}",
             mib(p.minimum), mib(p.startup), mib(p.maximum), p.buffer_percent, p.priority);
    if (p.reporting) {
        line.say("  dynamic memory: {}, demand {} MiB, wanted {} MiB, available {}%, pressure {}%, driver {}",
                 dm::text(p.memory_status), mib(p.demand), mib(p.wanted),
                 dm::availability_percent(p.assigned, p.demand), dm::pressure_percent(p.assigned, p.demand),
                 p.driver);
    } else {
        line.say("  dynamic memory: not reported, driver {}", p.driver);
    }
    NamedCounter counters[96];
    u32 const count = op.counters(i, counters);
    for (u32 c = 0; c < count; ++c) {
        if (counters[c].value != 0) {
            line.say("  {:-32} {}", counters[c].name, counters[c].value);
        }
    }
}

void why(u32 i, std::string_view, Operator& op, Answer& answer) {
    dm::Journal const& journal = op.journal(i);
    Line line{answer};
    if (journal.size() == 0) {
        line.say("{}: nothing has been decided about it yet", op.status(i).name);
    }
    for (u32 back = journal.size(); back-- > 0;) {
        line.text.clear();
        dm::print(line.text, journal.entry(back));
        answer.line(line.text.text());
    }
}

void request(u32 i, Request what, std::string_view done, Operator& op, Answer& answer) {
    Line line{answer};
    char space[200];
    TextBuffer reason{space};
    if (op.request(i, what, reason)) {
        line.say("{}: {}", op.status(i).name, done);
    } else {
        line.say("error: {}: {}", op.status(i).name, reason.text());
    }
}
void start(u32 i, std::string_view, Operator& op, Answer& answer) {
    request(i, Request::Start, "starting", op, answer);
}
void restart(u32 i, std::string_view, Operator& op, Answer& answer) {
    request(i, Request::Restart, "restarting", op, answer);
}
void stop(u32 i, std::string_view argument, Operator& op, Answer& answer) {
    if (argument == "off") {
        request(i, Request::TurnOff, "turned off", op, answer);
    } else if (argument.empty()) {
        request(i, Request::Shutdown, "asked to shut down; 'stop NAME off' cuts the power", op, answer);
    } else {
        Line{answer}.say("error: 'stop' wants NAME, or NAME off; got '{}'", argument);
    }
}

void check(u32, std::string_view, Operator& op, Answer& answer) {
    char space[240];
    TextBuffer verdict{space};
    bool const good = op.check(verdict);
    Line{answer}.say("check: {} {}", good ? "ok" : "FAILED", verdict.text());
}

void help(u32, std::string_view, Operator&, Answer& answer) {
    Line line{answer};
    for (Command const& c : commands()) {
        line.say("  {:-18} {}", c.usage, c.help);
    }
}

constexpr Command kCommands[] = {
    {"list", "list", "all partitions and their memory", false, list},
    {"show", "show NAME", "one partition with its counters", true, show},
    {"start", "start NAME", "power on", true, start},
    {"stop", "stop NAME [off]", "ask for a clean power-off; 'off' cuts the power", true, stop},
    {"restart", "restart NAME", "reset at once", true, restart},
    {"why", "why NAME", "the last decisions about its memory and their reasons", true, why},
    {"check", "check", "prove the memory invariants by walking every frame and table", false, check},
    {"help", "help", "this list", false, help},
};
std::span<Command const> commands() {
    return kCommands;
}

void say_names(Operator& op, Answer& answer) {
    char space[240];
    TextBuffer names{space};
    for (u32 i = 0; i < op.partition_count(); ++i) {
        format(names, "{}{}", i == 0 ? "" : ", ", op.status(i).name);
    }
    Line{answer}.say("error: partitions are: {}", names.text());
}
} // namespace

void run_command(std::string_view line, Operator& op, Answer& answer) {
    std::string_view rest = line;
    std::string_view const word = next_word(rest);
    if (word.empty()) {
        return;
    }
    for (Command const& c : commands()) {
        if (c.name != word) {
            continue;
        }
        u32 partition = 0;
        if (c.wants_partition) {
            std::string_view const name = next_word(rest);
            if (name.empty()) {
                Line{answer}.say("error: '{}' wants the name of a partition, as in '{}'", word, c.usage);
                say_names(op, answer);
                return;
            }
            while (partition < op.partition_count() && op.status(partition).name != name) {
                ++partition;
            }
            if (partition == op.partition_count()) {
                Line{answer}.say("error: no partition is called '{}'", name.substr(0, 40));
                say_names(op, answer);
                return;
            }
        }
        std::string_view const argument = next_word(rest);
        bool const takes_one = c.usage.find('[') != std::string_view::npos;
        std::string_view const extra = takes_one ? next_word(rest) : argument;
        if (!extra.empty()) {
            Line{answer}.say("error: '{}' wants no '{}'; usage: {}", word, extra.substr(0, 40), c.usage);
            return;
        }
        c.run(partition, argument, op, answer);
        return;
    }
    Line{answer}.say("error: '{}' is no command; 'help' lists them", word.substr(0, 40));
}

char const* text(RunState state) {
    switch (state) {
    case RunState::Off: return "off";
    case RunState::Waiting: return "waiting";
    case RunState::Running: return "running";
    case RunState::Halted: return "halted";
    case RunState::Debug: return "debug";
    case RunState::Crashed: return "crashed";
    }
    return "?";
}
} // namespace hv::mgmt
