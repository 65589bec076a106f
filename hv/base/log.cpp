// SPDX-License-Identifier: Apache-2.0
#include "hv/base/log.hpp"

namespace hv {
void log_formatted(LogLevel level, std::string_view pattern, FormatArgs args) {
    char space[240];
    TextBuffer text{space};
    format_to(text, pattern, args);
    log_line(level, text.text());
}
} // namespace hv
