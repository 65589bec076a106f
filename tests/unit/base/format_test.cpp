// SPDX-License-Identifier: Apache-2.0
#include "hv/base/format.hpp"
#include <catch2/catch.hpp>
#include <string>

using namespace hv;

namespace {
template <class... Args>
std::string formatted(std::string_view pattern, Args const&... args) {
    char space[64];
    TextBuffer out{space};
    format(out, pattern, args...);
    return std::string{out.text()};
}
} // namespace

TEST_CASE("format prints numbers, text and padding", "[base]") {
    CHECK(formatted("{} {} {}", 1u, -2, "three") == "1 -2 three");
    CHECK(formatted("[{:6}] [{:-6}] [{:06}] [{:x}]", 42u, 42u, 42u, 0xbeefu) ==
          "[    42] [42    ] [000042] [beef]");
    CHECK(formatted("[{:6}]", -42) == "[   -42]");
    CHECK(formatted("{{}", 1u) == "{}");
    CHECK(formatted("{} {}", true) == "true {?}");
    CHECK(formatted("{}", ~0ull) == "18446744073709551615");
}

TEST_CASE("a text buffer never writes past its end and says so", "[base]") {
    char space[4];
    TextBuffer out{space};
    format(out, "{}", "abcdef");
    CHECK(out.text() == "abcd");
    CHECK(out.truncated());
}
