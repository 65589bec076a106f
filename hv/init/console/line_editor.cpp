// SPDX-License-Identifier: Apache-2.0
#include "hv/init/console/line_editor.hpp"

namespace hv::init {
namespace {
constexpr u8 kControlC = 3, kBackspace = 8, kControlU = 21, kDelete = 127;
constexpr std::string_view kErase = "\b \b";
} // namespace

std::optional<std::string_view> LineEditor::put(u8 byte) {
    bool const was_return = after_return_;
    after_return_ = byte == '\r';
    echo_ = {};
    if (finished_) {
        used_ = 0;
        finished_ = false;
    }
    switch (byte) {
    case '\n':
        if (was_return) {
            return std::nullopt;
        }
        [[fallthrough]];
    case '\r':
        echo_ = "\r\n";
        finished_ = true;
        return std::string_view{line_.data(), used_};
    case kBackspace:
    case kDelete:
        if (used_ != 0) {
            --used_;
            echo_ = kErase;
        }
        return std::nullopt;
    case kControlU: clear_shown(); return std::nullopt;
    case kControlC:
        used_ = 0;
        echo_ = "^C\r\n";
        return std::nullopt;
    default: break;
    }
    if (byte < ' ') {
        return std::nullopt;
    }
    if (used_ == kMaxLineBytes) {
        echo_ = "\a";
        return std::nullopt;
    }
    line_[used_++] = static_cast<char>(byte);
    echo_ = {&line_[used_ - 1], 1};
    return std::nullopt;
}

void LineEditor::clear_shown() {
    usize at = 0;
    for (; used_ != 0; --used_) {
        for (char c : kErase) {
            erase_[at++] = c;
        }
    }
    echo_ = {erase_.data(), at};
}
} // namespace hv::init
