// SPDX-License-Identifier: Apache-2.0
// `monitor`: the session's own commands; the target's are passed on.
#include "hv/gdb/monitor_output.hpp"
#include "hv/gdb/session.hpp"
#include <utility>

namespace hv::gdb {
namespace {
constexpr std::string_view kHelp = "arch 16|32|64|auto  what the next description says the code is\n"
                                   "phys on|off         addresses are guest-physical\n"
                                   "map                 guest-physical memory as it is now\n"
                                   "reset               restart, to stop before the first instruction\n"
                                   "version\n";

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

void Session::monitor_words(std::string_view text, MonitorOutput& out) {
    Scanner words{text};
    if (text.empty()) words = Scanner{"help"};
    switch (words.choice("help\0arch\0phys\0map\0version\0info version\0reset\0")) {
    case 0: out.text(kHelp); return target_.monitor_help(out);
    case 1: return monitor_arch(words, out);
    case 2:
        if (u32 const state = words.choice(" off\0 on\0"); state != Scanner::kNoChoice)
            physical_ = state == 1;
        return out.say(
            "addresses are guest-{}; {} until detach and attach", physical_ ? "physical" : "virtual",
            physical_ ? "gdb has no map of them" : "if gdb has read the physical map, it keeps to it");
    case 3: return monitor_map(out);
    case 4: // Linux's scripts for gdb take a server that answers "info version" for one whose threads are
    case 5: // processors in their order
        return out.line("Ballast");
    case 6:
        if (!is_attached(current_) || !target_.restart(current_)) return out.line("it cannot be restarted");
        going_ |= bit(current_), kept_ &= ~bit(current_), untold_ &= ~bit(current_);
        inferiors_[current_].running |= std::exchange(inferiors_[current_].untold, 0);
        return owe(Owed::Reset);
    default: break;
    }
    if (!target_.monitor(current_, vp_, text, out))
        out.say("no such command: {}; there is: monitor help", text);
}

void Session::monitor_arch(Scanner words, MonitorOutput& out) {
    Inferior& inferior = inferiors_[current_];
    u32 const choice = words.choice(" 64\0 32\0 16\0 auto\0"); // by ArchChoice
    if (choice == Scanner::kNoChoice) {
        return out.say("gdb was told {}-bit; choose 16, 32, 64 or auto", inferior.layout.code_bits());
    }
    inferior.choice = static_cast<ArchChoice>(choice);
    out.line("now type: unset tdesc filename");
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
    if (inferior.choice == ArchChoice::Auto) {
        out.say("the code is {}-bit now; type: unset tdesc filename", bits);
    } else {
        out.say("the code is {}-bit now; type: monitor arch {}, then: unset tdesc filename", bits, bits);
    }
    out.flush();
}
} // namespace hv::gdb
