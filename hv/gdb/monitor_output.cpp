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

void MonitorOutput::line(std::string_view text) {
    if (lost_ || !make_room(text.size() + 1)) {
        lost_ = true;
        return;
    }
    out_.hex({reinterpret_cast<u8 const*>(text.data()), text.size()});
    out_.byte('\n');
}

void MonitorOutput::flush() {
    if (open_) out_.end();
    open_ = false;
}

void MonitorOutput::done() {
    flush();
    if (lost_) {
        constexpr std::string_view kMore = "… and more\n";
        out_.begin();
        out_.put('O');
        out_.hex({reinterpret_cast<u8 const*>(kMore.data()), kMore.size()});
        out_.end();
    }
    out_.packet("OK");
}
} // namespace hv::gdb
