// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/document_window.hpp"

namespace hv::gdb {
namespace {
/// Escaped, every byte may become two; the first says whether more follows.
constexpr u64 kMostBytes = (PacketWriter::kDataBytes - 1) / 2;
} // namespace

DocumentWindow::DocumentWindow(PacketWriter& out, u64 offset, u64 bytes)
    : out_{out}, skip_{offset}, room_{bytes < kMostBytes ? bytes : kMostBytes} {
    out_.begin();
    out_.put('l');
}
DocumentWindow::~DocumentWindow() {
    if (more_) out_.set_first('m');
    out_.end();
}

void DocumentWindow::put(std::string_view text) {
    u64 const skipped = skip_ < text.size() ? skip_ : text.size();
    skip_ -= skipped;
    text.remove_prefix(skipped);
    if (text.size() > room_) {
        more_ = true;
        text = text.substr(0, room_);
    }
    room_ -= text.size();
    out_.binary(text);
}
void DocumentWindow::put(char const* text) {
    put(std::string_view{text});
}
void DocumentWindow::put_formatted(char const* pattern, FormatArgs args) {
    char space[200];
    TextBuffer text{space};
    format_to(text, pattern, args);
    put(text.text());
}
void DocumentWindow::put_escaped(std::string_view text) {
    for (char const& c : text) {
        put(c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '"' ? "&quot;" : std::string_view{&c, 1});
    }
}
} // namespace hv::gdb
