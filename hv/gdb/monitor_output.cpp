// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/monitor_output.hpp"

namespace hv::gdb {
namespace {
constexpr usize kForTheEnd = 128; // a last line and the OK
}

/// @return a packet is open that takes as many bytes of text
bool MonitorOutput::make_room(usize bytes) {
    if (open_ && out_.size() + 2 * bytes + kForTheEnd > out_.room()) flush();
    if (!open_ && 1 + 2 * bytes + kForTheEnd > out_.room()) return false;
    if (!open_) {
        out_.begin();
        out_.put('O');
        open_ = true;
    }
    return true;
}

void MonitorOutput::text(std::string_view lines) {
    if (lost_ || !make_room(lines.size())) {
        lost_ = true;
        return;
    }
    out_.hex({reinterpret_cast<u8 const*>(lines.data()), lines.size()});
}
void MonitorOutput::line(std::string_view text_of_line) {
    if (!make_room(text_of_line.size() + 1)) lost_ = true;
    text(text_of_line);
    text("\n");
}

void MonitorOutput::put_formatted(char const* pattern, FormatArgs args) {
    char space[200];
    TextBuffer out{space};
    format_to(out, pattern, args);
    line(out.text());
}

void MonitorOutput::flush() {
    if (open_) out_.end();
    open_ = false;
}

void MonitorOutput::done() {
    flush();
    if (lost_) out_.packet("O2e2e2e20616e64206d6f72650a"); // "... and more"
    out_.packet("OK");
}
} // namespace hv::gdb
