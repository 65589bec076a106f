// SPDX-License-Identifier: Apache-2.0
// Log lines. Nothing here may be reachable without a rate limit because a guest asked (use RateLimit).
#pragma once
#include "hv/base/format.hpp"

namespace hv {
enum class LogLevel : u8 { Debug, Info, Warning, Error };

/// Takes one finished line without a newline. Provided by whoever owns the console (hv/init); a hosted
/// program prints warnings and errors to stderr. Any context, must not allocate.
void log_line(LogLevel level, std::string_view line);

/// Formats one line of at most 240 characters and gives it to log_line().
[[gnu::cold]] void log_formatted(LogLevel level, std::string_view pattern, FormatArgs args);

template <class... Args>
[[gnu::always_inline]] inline void log_info(std::string_view pattern, Args const&... args) {
    log_formatted(LogLevel::Info, pattern, FormatPack{args...});
}
template <class... Args>
[[gnu::always_inline]] inline void log_warning(std::string_view pattern, Args const&... args) {
    log_formatted(LogLevel::Warning, pattern, FormatPack{args...});
}
template <class... Args>
[[gnu::always_inline]] inline void log_error(std::string_view pattern, Args const&... args) {
    log_formatted(LogLevel::Error, pattern, FormatPack{args...});
}

/// Lets at most `burst` events through for its whole life, then none: what a guest can trigger is told a few
/// times and counted for ever (the caller keeps the counter).
class RateLimit {
  public:
    constexpr explicit RateLimit(u32 burst) : left_{burst} {}
    constexpr bool allow() {
        if (left_ == 0) {
            return false;
        }
        --left_;
        return true;
    }

  private:
    u32 left_;
};
} // namespace hv
