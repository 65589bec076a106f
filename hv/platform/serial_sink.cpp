// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/serial_sink.hpp"

namespace hv::platform {
void LineCollector::put(u8 byte) {
    if (byte == '\r') {
        return;
    }
    if (byte == '\n') {
        taker_(context_, {line_, used_});
        used_ = 0;
        return;
    }
    if (used_ == kLineBytes) {
        flush();
    }
    bool const plain = byte >= 0x20 && byte != 0x7f;
    line_[used_++] = plain || byte == '\t' || byte == 0x1b ? static_cast<char>(byte) : '?';
}

void LineCollector::flush() {
    if (used_ != 0) {
        taker_(context_, {line_, used_});
        used_ = 0;
    }
}
} // namespace hv::platform
