// SPDX-License-Identifier: Apache-2.0
// memcpy and friends for the freestanding world: compilers emit calls to them. REP MOVS/STOS are the fast
// string operations of every processor that has VMX or SVM; whole words, because emulators count every
// iteration.
#ifdef HV_FREESTANDING
#include "hv/base/types.hpp"

extern "C" {
void* memcpy(void* to, void const* from, hv::usize bytes) {
    void* at = to;
    hv::usize words = bytes / 8;
    hv::usize rest = bytes % 8;
    asm volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
    return to;
}
void* memset(void* to, int value, hv::usize bytes) {
    void* at = to;
    hv::usize const words = bytes / 8;
    hv::usize rest = bytes % 8;
    hv::usize count = words;
    hv::u64 const pattern = 0x0101010101010101ull * static_cast<hv::u8>(value);
    asm volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(pattern) : "memory");
    asm volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}
void* memmove(void* to, void const* from, hv::usize bytes) {
    auto* t = static_cast<unsigned char*>(to);
    auto const* f = static_cast<unsigned char const*>(from);
    if (t <= f || t >= f + bytes) {
        return memcpy(to, from, bytes);
    }
    while (bytes-- != 0) {
        t[bytes] = f[bytes];
    }
    return to;
}
int memcmp(void const* a, void const* b, hv::usize bytes) {
    auto const* x = static_cast<unsigned char const*>(a);
    auto const* y = static_cast<unsigned char const*>(b);
    using Word [[gnu::may_alias, gnu::aligned(1)]] = hv::u64;
    hv::usize i = 0;
    while (bytes - i >= sizeof(Word) &&
           *reinterpret_cast<Word const*>(x + i) == *reinterpret_cast<Word const*>(y + i)) {
        i += sizeof(Word);
    }
    for (; i < bytes; ++i) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}
void* memchr(void const* in, int value, hv::usize bytes) {
    auto const* p = static_cast<unsigned char const*>(in);
    for (hv::usize i = 0; i < bytes; ++i) {
        if (p[i] == static_cast<unsigned char>(value)) {
            return const_cast<unsigned char*>(p + i);
        }
    }
    return nullptr;
}
hv::usize strlen(char const* text) {
    hv::usize n = 0;
    while (text[n] != 0) {
        ++n;
    }
    return n;
}
}
#endif
