// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
u32 Scanner::choice(char const* words) {
    for (u32 place = 0; *words != 0; ++place) {
        char const* p = at_;
        for (; *words != 0 && p != end_ && *p == *words; ++p) {
            ++words;
        }
        if (*words == 0) {
            at_ = p;
            return place;
        }
        while (*words++ != 0) {
        }
    }
    return kNoChoice;
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

/// -1, or a number that fits. Every step reads some: no detours.
bool Scanner::id(s32& to) {
    char const* p = at_;
    u32 value = 0;
    if (p != end_ && *p == '-') {
        if (++p == end_ || *p++ != '1') return false;
        value = static_cast<u32>(ThreadId::kAll);
    } else {
        for (; p != end_; ++p) {
            s32 const digit = hex_value(static_cast<u8>(*p));
            if (digit < 0) break;
            if (value >> 27 != 0) return false;
            value = value << 4 | static_cast<u32>(digit);
        }
        if (p == at_) return false;
    }
    at_ = p;
    to = static_cast<s32>(value);
    return true;
}

bool Scanner::thread(ThreadId& to) {
    to = ThreadId{};
    if (!eat('p')) return id(to.tid);
    return id(to.pid) && (!eat('.') || id(to.tid));
}
} // namespace hv::gdb
