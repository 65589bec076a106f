// SPDX-License-Identifier: Apache-2.0
#include "hv/init/console/line_editor.hpp"
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace hv;
using hv::init::LineEditor;

namespace {
std::vector<std::string> feed(LineEditor& editor, std::string const& text, std::string* echo = nullptr) {
    std::vector<std::string> lines;
    for (char c : text) {
        auto const line = editor.put(static_cast<u8>(c));
        if (echo != nullptr) {
            *echo += editor.echo();
        }
        if (line) {
            lines.emplace_back(*line);
        }
    }
    return lines;
}
using Lines = std::vector<std::string>;
} // namespace

TEST_CASE("every usual end of line ends one line", "[line_editor]") {
    LineEditor editor;
    CHECK(feed(editor, "a\rb\nc\r\nd\r\re\n\n") == Lines{"a", "b", "c", "d", "", "e", ""});
}

TEST_CASE("backspace and delete remove one character, never more than there are", "[line_editor]") {
    LineEditor editor;
    std::string echo;
    CHECK(feed(editor, "\b\x7flisp\bt\b\x7ft\r", &echo) == Lines{"lit"});
    CHECK(echo == "lisp\b \bt\b \b\b \bt\r\n");
}

TEST_CASE("Ctrl-U and Ctrl-C forget the line", "[line_editor]") {
    LineEditor editor;
    std::string echo;
    CHECK(feed(editor,
               "ab\x15"
               "cd\r",
               &echo) == Lines{"cd"});
    CHECK(echo == "ab\b \b\b \bcd\r\n");
    CHECK(feed(editor, "halt\x03list\r") == Lines{"list"});
}

TEST_CASE("control characters are ignored, other bytes kept", "[line_editor]") {
    LineEditor editor;
    CHECK(feed(editor, std::string{"a\x01\x00\x1b\tb\xc3\xa4\r", 9}) == Lines{"ab\xc3\xa4"});
}

TEST_CASE("a line too long keeps its beginning and rings the bell", "[line_editor]") {
    LineEditor editor;
    std::string echo;
    auto const lines = feed(editor, std::string(1000, 'x') + "\ry\r", &echo);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == std::string(LineEditor::kMaxLineBytes, 'x'));
    CHECK(lines[1] == "y");
    CHECK(echo.find('\a') != std::string::npos);
    feed(editor, std::string(LineEditor::kMaxLineBytes, 'x'));
    CHECK(feed(editor, "\x15ok\r") == Lines{"ok"});
}
