// SPDX-License-Identifier: Apache-2.0
#include "hv/init/debugger/monitor_commands.hpp"
#include "hv/base/format.hpp"
#include "hv/mgmt/console_commands.hpp"

namespace hv::init {
namespace {
using gdb::LineSink;
using partition::Guest;
using partition::Partition;
using partition::PartitionSet;

struct Line {
    char space[200];
    TextBuffer text{space};
    LineSink& lines;
    explicit Line(LineSink& to) : lines{to} {}
    template <class... Args>
    void say(std::string_view pattern, Args const&... args) {
        text.clear();
        format(text, pattern, args...);
        lines.line(text.text());
    }
};

/// The console's commands, answered here.
class ConsoleAnswer final : public mgmt::Answer {
  public:
    explicit ConsoleAnswer(LineSink& lines) : lines_{lines} {}
    void line(std::string_view text) override { lines_.line(text); }

  private:
    LineSink& lines_;
};

void ask_console(std::string_view command, PartitionSet& set, u32 index, LineSink& lines) {
    char space[64];
    TextBuffer words{space};
    format(words, "{} {}", command, set.partitions()[index]->name());
    ConsoleAnswer answer{lines};
    mgmt::run_command(words.text(), set, answer);
}

/// Hexadecimal, with or without 0x. @return false for anything else
bool parse_hex(std::string_view text, u64& value) {
    if (text.substr(0, 2) == "0x") {
        text.remove_prefix(2);
    }
    value = 0;
    for (char c : text) {
        unsigned const low = static_cast<unsigned char>(c) | 0x20;
        unsigned const digit = c >= '0' && c <= '9'       ? static_cast<unsigned>(c - '0')
                               : low >= 'a' && low <= 'f' ? low - 'a' + 10
                                                          : 16;
        if (digit == 16) {
            return false;
        }
        value = value << 4 | digit;
    }
    return !text.empty() && text.size() <= 16;
}

void info(Partition& p, Guest& guest, std::string_view, LineSink& lines) {
    Line line{lines};
    VirtVcpu& hw = guest.vp().hardware();
    VcpuView view{hw};
    CodeMode const mode = code_mode(view);
    line.say("partition {} on processor {}, {}-bit {}code, CPL {}", p.name(), p.cpu_index(), mode.code_bits,
             mode.real ? "real-mode " : "", hw.cpl());
    line.say("single steps: {}",
             hw.steps_exactly() ? "monitor trap flag" : "trap flag, hidden from the guest");
    partition::Debugger const* const debugger = p.debugger();
    if (debugger == nullptr) {
        return;
    }
    line.say("interrupts and timers while stepping: {}", debugger->holds_interrupts() ? "held" : "delivered");
    debug::Placement const& placed = debugger->placement();
    debug::for_each_point(debugger->points().used(), [&](unsigned i) {
        constexpr char const* kKinds[] = {"break", "watch", "rwatch", "awatch"};
        debug::Point const& point = debugger->points()[i];
        char const* where = "nowhere yet";
        for (debug::Placement::Owner const& owner : placed.owner) {
            if (owner.kind == debug::Placement::Owner::Kind::Point && (owner.points >> i & 1) != 0) {
                where = "a debug register";
            }
        }
        if ((placed.guarded >> i & 1) != 0) {
            where = "its page's permissions";
        }
        line.say("{} {:x}, {} byte(s), by {}: {} hits, {} with a false condition",
                 kKinds[static_cast<u8>(point.spec.kind)], point.spec.address, point.spec.bytes, where,
                 point.hits, point.false_conditions);
    });
    partition::Debugger::Counters const& c = debugger->counters();
    line.say("{} instructions stepped, {} accesses to guarded pages", c.steps, c.guard_faults);
}

void registers(Partition&, Guest& guest, std::string_view, LineSink& lines) {
    Line line{lines};
    VirtVcpu& hw = guest.vp().hardware();
    constexpr char const* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    for (unsigned i = 0; i < 8; ++i) {
        Segment const s = hw.read(static_cast<Seg>(i));
        line.say("{:-4} {:04x} base {:016x} limit {:08x} attributes {:03x}", kNames[i], s.selector, s.base,
                 s.limit, s.attributes);
    }
    DescriptorTable const gdtr = hw.read_gdtr(), idtr = hw.read_idtr();
    line.say("gdtr {:016x} limit {:x}, idtr {:016x} limit {:x}", gdtr.base, gdtr.limit, idtr.base,
             idtr.limit);
    HardwareBreakpoints const& dr = guest.vp().guest_breakpoints();
    line.say("dr0-3 {:x} {:x} {:x} {:x}, dr6 {:x}, dr7 {:x} (the guest's own)", dr.address[0], dr.address[1],
             dr.address[2], dr.address[3], guest.vp().guest_dr6(), dr.dr7);
    line.say("cr8 {:x}, rip {:x}, rsp {:x}", guest.vp().control(8), hw.read(Reg::Rip), hw.read(Reg::Rsp));
}

void msr(Partition&, Guest& guest, std::string_view argument, LineSink& lines) {
    Line line{lines};
    u64 index = 0, value = 0;
    if (!parse_hex(argument, index) || index > 0xffff'ffff) {
        line.say("'msr' wants a number in hexadecimal, as in: monitor msr c0000080");
    } else if (guest.vp().read_any_msr(static_cast<u32>(index), value)) {
        line.say("msr {:x} = {:016x}", index, value);
    } else {
        line.say("msr {:x}: the guest has none (#GP)", index);
    }
}

void sstep(Partition& p, Guest&, std::string_view argument, LineSink& lines) {
    partition::Debugger* const debugger = p.debugger();
    if (debugger == nullptr) {
        lines.line("not attached");
        return;
    }
    if (argument == "hold" || argument == "deliver") {
        debugger->hold_interrupts(argument == "hold");
    } else if (!argument.empty()) {
        lines.line("'sstep' wants 'hold' or 'deliver'");
        return;
    }
    Line{lines}.say("interrupts and timers are {} while an instruction is stepped",
                    debugger->holds_interrupts() ? "held" : "delivered");
}

/// With kernel address-space layout randomisation the kernel runs a slide away from where it is linked. LSTAR
/// holds the address of entry_SYSCALL_64. Offsets of per-CPU variables do not move, so "symbol-file -o" would
/// spoil them.
void kaslr(Partition&, Guest& guest, std::string_view argument, LineSink& lines) {
    Line line{lines};
    u64 linked = 0;
    u64 const lstar = guest.vp().hardware().read(StateMsr::IA32_LSTAR);
    if (lstar == 0) {
        line.say("no system calls are set up yet: LSTAR is 0");
    } else if (argument.empty()) {
        line.say("entry_SYSCALL_64 runs at {:x}; with the symbols loaded where they are linked:", lstar);
        line.say("  eval \"monitor kaslr %lx\", &entry_SYSCALL_64");
    } else if (!parse_hex(argument, linked)) {
        line.say("'kaslr' wants the address of entry_SYSCALL_64 that the symbols tell, in hexadecimal");
    } else if (linked == lstar) {
        line.say("no slide: the symbols fit as they are");
    } else {
        line.say("slide {:x}: symbol-file, then add-symbol-file VMLINUX -o 0x{:x} -s .data..percpu 0",
                 lstar - linked, lstar - linked);
    }
}

void memory(PartitionSet& set, u32 index, LineSink& lines) {
    ask_console("why", set, index, lines);
}
void exits(PartitionSet& set, u32 index, LineSink& lines) {
    ask_console("show", set, index, lines);
}

constexpr MonitorCommand kCommands[] = {
    {"info", "info", "mode, points and how they are had", info, nullptr},
    {"regs", "regs", "segments, descriptor tables, the guest's debug registers", registers, nullptr},
    {"msr", "msr INDEX", "a model-specific register as the guest reads it", msr, nullptr},
    {"memory", "memory", "what dynamic memory did and why", nullptr, memory},
    {"exits", "exits", "exits and other counters", nullptr, exits},
    {"sstep", "sstep [hold|deliver]", "interrupts and timers while stepping", sstep, nullptr},
    {"kaslr", "kaslr [ADDRESS]", "how far the kernel runs from where it is linked", kaslr, nullptr},
};
} // namespace

std::string_view argument_of(std::string_view words) {
    usize at = words.find(' ');
    while (at < words.size() && words[at] == ' ') {
        ++at;
    }
    std::string_view rest = at < words.size() ? words.substr(at) : std::string_view{};
    while (!rest.empty() && rest.back() == ' ') {
        rest.remove_suffix(1);
    }
    return rest;
}

MonitorCommand const* find_monitor_command(std::string_view words) {
    std::string_view const word = words.substr(0, words.find(' '));
    for (MonitorCommand const& command : kCommands) {
        if (command.name == word) {
            return &command;
        }
    }
    return nullptr;
}

void list_monitor_commands(LineSink& lines) {
    Line line{lines};
    for (MonitorCommand const& command : kCommands) {
        line.say("  {:-22} {}", command.usage, command.help);
    }
}
} // namespace hv::init
