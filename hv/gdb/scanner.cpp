// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
bool Scanner::eat(std::string_view word) {
    if (!rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
}

bool Scanner::number(u64& to) {
    u64 value = 0;
    char const* p = at_;
    for (; p != end_; ++p) {
        s32 const digit = hex_value(static_cast<u8>(*p));
        if (digit < 0) break;
        if (p - at_ == 16) return false;
        value = value << 4 | static_cast<u64>(digit);
    }
    if (p == at_) return false;
    at_ = p;
    to = value;
    return true;
}

bool Scanner::byte(u8& to) {
    if (end_ - at_ < 2) return false;
    s32 const high = hex_value(static_cast<u8>(at_[0])), low = hex_value(static_cast<u8>(at_[1]));
    if (high < 0 || low < 0) return false;
    to = static_cast<u8>(high << 4 | low);
    at_ += 2;
    return true;
}

std::string_view Scanner::word(char separator) {
    char const* const first = at_;
    while (at_ != end_ && *at_ != separator) {
        ++at_;
    }
    std::string_view const found{first, static_cast<usize>(at_ - first)};
    if (at_ != end_) ++at_;
    return found;
}

bool Scanner::id(s32& to) {
    if (eat('-')) {
        to = ThreadId::kAll;
        return eat('1');
    }
    u64 value = 0;
    if (!number(value) || value > 0x7fff'ffff) return false;
    to = static_cast<s32>(value);
    return true;
}

bool Scanner::thread(ThreadId& to) {
    Scanner s{*this};
    ThreadId found;
    if (s.eat('p')) {
        if (!s.id(found.pid)) return false;
        if (s.eat('.') && !s.id(found.tid)) return false;
    } else if (!s.id(found.tid)) {
        return false;
    }
    *this = s;
    to = found;
    return true;
}
} // namespace hv::gdb
