// SPDX-License-Identifier: Apache-2.0
#ifndef HV_FREESTANDING
#include "hv/base/log.hpp"
#include <cstdio>

namespace hv {
void log_line(LogLevel level, std::string_view line) {
    if (level >= LogLevel::Warning) {
        std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    }
}
} // namespace hv
#endif
