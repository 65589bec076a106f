// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/scanner.hpp"

namespace hv::gdb {
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
