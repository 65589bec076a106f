// SPDX-License-Identifier: Apache-2.0
#include "hv/init/trace/demangle.hpp"
#include <array>

namespace hv::init {
namespace {
constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Reads the mangled text from left to right; ok() turns false at anything it does not know.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_{text} {}
    bool ok() const { return ok_; }
    bool at_end() const { return at_ >= text_.size(); }
    char peek(usize ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    bool take(std::string_view what) {
        if (text_.substr(at_, what.size()) != what) {
            return false;
        }
        at_ += what.size();
        return true;
    }
    void skip() { ++at_; }
    void fail() { ok_ = false; }

    /// <source-name>: length, then so many characters.
    std::string_view source_name() {
        usize length = 0;
        while (is_digit(peek()) && length < text_.size()) {
            length = length * 10 + static_cast<usize>(peek() - '0');
            ++at_;
        }
        if (length == 0 || length > text_.size() - at_) {
            fail();
            return {};
        }
        std::string_view const name = text_.substr(at_, length);
        at_ += length;
        return name;
    }
    /// `S_`, `S1_`, `St` …: skipped; a reference to something named before.
    void substitution() {
        skip();
        while (is_digit(peek()) || (peek() >= 'A' && peek() <= 'Z')) {
            skip();
        }
        skip(); // `_`, or the letter of a std abbreviation
    }
    /// `I … E`, with what nests in between.
    void template_arguments() {
        usize depth = 0;
        do {
            char const c = peek();
            if (at_end()) {
                fail();
            } else if (is_digit(c)) {
                source_name();
            } else if (c == 'S') {
                substitution();
            } else if (c == 'L') {
                literal();
            } else {
                depth += c == 'I' || c == 'N' || c == 'X' || c == 'J' || c == 'F';
                depth -= c == 'E';
                skip();
            }
        } while (ok_ && depth != 0);
    }

  private:
    /// `L <type> <number> E`: here digits after the type are a value and not the length of a name.
    void literal() {
        skip();
        if (take("N")) {
            while (ok_ && !take("E")) {
                if (is_digit(peek())) {
                    source_name();
                } else if (peek() == 'S') {
                    substitution();
                } else {
                    fail();
                }
            }
        } else if (is_digit(peek())) {
            source_name();
        } else if (peek() == 'S') {
            substitution();
        } else {
            skip(); // a built-in type is one letter
        }
        take("n");
        while (is_digit(peek())) {
            skip();
        }
        if (!take("E")) {
            fail();
        }
    }

    std::string_view text_;
    usize at_ = 0;
    bool ok_ = true;
};

void nested_name(Reader& in, TextBuffer& out) {
    std::string_view last;
    bool first = true;
    while (in.peek() == 'K' || in.peek() == 'V' || in.peek() == 'r' || in.peek() == 'R' || in.peek() == 'O') {
        in.skip();
    }
    auto const scope = [&] {
        if (!first) {
            out.put("::");
        }
        first = false;
    };
    while (in.ok() && !in.take("E")) {
        char const c = in.peek();
        if (c == 'L') {
            in.skip(); // internal linkage
        } else if (is_digit(c)) {
            last = in.source_name();
            scope();
            out.put(last.substr(0, 8) == "_GLOBAL_" ? std::string_view{"(anonymous)"} : last);
        } else if (c == 'I') {
            in.template_arguments();
            out.put("<...>");
        } else if (in.take("St")) {
            scope();
            out.put("std");
        } else if (c == 'C' && is_digit(in.peek(1))) {
            in.skip(), in.skip();
            scope();
            out.put(last);
        } else if (c == 'D' && is_digit(in.peek(1))) {
            in.skip(), in.skip();
            scope();
            out.put('~');
            out.put(last);
        } else if (c >= 'a' && c <= 'z' && in.peek(1) >= 'A') { // <operator-name>: two letters
            scope();
            out.put("operator ");
            out.put(c);
            out.put(in.peek(1));
            in.skip(), in.skip();
        } else {
            in.fail();
        }
    }
}
} // namespace

void demangle(TextBuffer& out, std::string_view mangled) {
    Reader in{mangled};
    std::array<char, 200> space;
    TextBuffer name{space};
    if (!in.take("_Z")) {
        out.put(mangled);
        return;
    }
    in.take("L");
    if (in.take("N")) {
        nested_name(in, name);
    } else if (is_digit(in.peek())) {
        name.put(in.source_name());
        if (in.peek() == 'I') {
            name.put("<...>");
        }
    } else {
        in.fail();
    }
    out.put(in.ok() && !name.truncated() ? name.text() : mangled);
}
} // namespace hv::init
