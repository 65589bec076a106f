// SPDX-License-Identifier: Apache-2.0
// `monitor`: the session's own commands; the target's are passed on.
#include "hv/gdb/monitor_output.hpp"
#include "hv/gdb/session.hpp"

namespace hv::gdb {
namespace {
constexpr std::string_view kReread = "now type: unset tdesc filename";

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) {
        text.remove_suffix(1);
    }
    return text;
}
} // namespace

void Session::monitor(Scanner digits) {
    char space[256];
    usize used = 0;
    u8 c = 0;
    while (used < sizeof space && digits.byte(c)) {
        space[used++] = static_cast<char>(c);
    }
    if (!digits.at_end()) return error();
    MonitorOutput out{out_};
    monitor_words(trimmed({space, used}), out);
    if (owed_ == Owed::Reset) return out.flush(); // done when it stands
    out.done();
}

void Session::monitor_words(std::string_view words, MonitorOutput& out) {
    std::string_view const verb = words.substr(0, words.find(' '));
    std::string_view rest = words;
    rest.remove_prefix(verb.size());
    rest = trimmed(rest);
    if (verb == "help" || verb.empty()) {
        out.line("arch 16|32|64|auto  what the next description says the code is");
        out.line("phys on|off         addresses are guest-physical");
        out.line("map                 guest-physical memory as it is now");
        out.line("reset               restart, to stop before the first instruction");
        out.line("version");
        target_.monitor_help(out);
    } else if (verb == "arch") {
        monitor_arch(rest, out);
    } else if (verb == "phys") {
        if (rest == "on" || rest == "off") physical_ = rest == "on";
        out.say("addresses are guest-{}; gdb reads the map again after detach and attach",
                physical_ ? "physical" : "virtual");
    } else if (verb == "map") {
        monitor_map(out);
    } else if (verb == "version" || words == "info version") {
        out.line("Ballast"); // Linux's scripts for gdb take a server that answers this for one that counts
                             // threads as processors
    } else if (verb == "reset") {
        if (!is_attached(current_) || !target_.restart(current_)) return out.line("it cannot be restarted");
        going_ |= bit(current_), kept_ &= ~bit(current_);
        owe(Owed::Reset);
    } else if (!target_.monitor(current_, vp_, words, out)) {
        out.say("no such command: {}; there is: monitor help", words);
    }
}

void Session::monitor_arch(std::string_view word, MonitorOutput& out) {
    Inferior& inferior = inferiors_[current_];
    if (word == "64") {
        inferior.choice = ArchChoice::X64;
    } else if (word == "32") {
        inferior.choice = ArchChoice::I386;
    } else if (word == "16") {
        inferior.choice = ArchChoice::I8086;
    } else if (word == "auto") {
        inferior.choice = ArchChoice::Auto;
    } else {
        out.say("gdb was told {}-bit; choose 16, 32, 64 or auto", inferior.layout.code_bits());
        return;
    }
    out.line(kReread);
}

void Session::monitor_map(MonitorOutput& out) {
    constexpr std::string_view kKinds[] = {"RAM", "ballooned", "hot-added", "not added", "device"};
    u32 const count = target_.memory_map(current_, regions_);
    for (u32 i = 0; i < count && i < kMaxRegions; ++i) {
        MemoryRegion const& r = regions_[i];
        out.say("{:012x}-{:012x} {:10} KiB {}", r.first, r.first + r.bytes - 1, r.bytes / KiB,
                kKinds[static_cast<u32>(r.kind)]);
    }
    if (count > kMaxRegions) out.say("… {} more", count - kMaxRegions);
}

void Session::reset_done(bool ended) {
    MonitorOutput out{out_};
    out.line(ended ? "it did not start again"
                   : "it stands before its first instruction; now type: maintenance flush register-cache");
    out.done();
}

/// Said once for each change of the code's width.
void Session::hint(u32 bits) {
    Inferior& inferior = inferiors_[current_];
    inferior.hinted_bits = static_cast<u8>(bits);
    MonitorOutput out{out_};
    out.say("the code is {}-bit now; type: monitor arch {}, then: unset tdesc filename", bits,
            inferior.choice == ArchChoice::Auto ? std::string_view{"auto"}
            : bits == 64                        ? "64"
            : bits == 32                        ? "32"
                                                : "16");
    out.flush();
}
} // namespace hv::gdb
