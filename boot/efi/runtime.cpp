// SPDX-License-Identifier: Apache-2.0
// What compilers and libfdt.a expect of a C library, for a UEFI application that has none: the memory and
// string functions that they call, and the stack protector's end of the line.
#include "boot/efi/runtime.hpp"

#include "boot/efi/console.hpp"
#include "boot/efi/cpu_ops.hpp"
#include <cstddef>
#include <cstdint>

namespace ballast::loader {
namespace {
// Debian's libfdt.a is compiled with the stack protector: it reads its guard value at %fs:0x28. UEFI leaves
// FS alone.
constexpr std::uint32_t kFsBase = 0xc000'0100; // APM vol 2, appendix A.2: FS.Base
constinit std::uint64_t thread_block[8] = {0, 0, 0, 0, 0, 0x595e9fbd94fda766, 0, 0};
} // namespace

void prepare_runtime() {
    wrmsr(kFsBase, reinterpret_cast<std::uint64_t>(thread_block));
}
} // namespace ballast::loader

extern "C" {
[[noreturn]] void __stack_chk_fail() {
    ballast::loader::fail("stack overrun in the loader; please report this as a bug");
}

void* memcpy(void* to, void const* from, std::size_t bytes) {
    void* const result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}

void* memset(void* to, int value, std::size_t bytes) {
    void* const result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

void* memmove(void* to, void const* from, std::size_t bytes) {
    auto* const target = static_cast<unsigned char*>(to);
    auto const* const source = static_cast<unsigned char const*>(from);
    if (reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from) >= bytes)
        return memcpy(to, from, bytes);
    for (std::size_t i = bytes; i > 0; i--)
        target[i - 1] = source[i - 1];
    return to;
}

int memcmp(void const* left, void const* right, std::size_t bytes) {
    auto const* const a = static_cast<unsigned char const*>(left);
    auto const* const b = static_cast<unsigned char const*>(right);
    for (std::size_t i = 0; i < bytes; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

void* memchr(void const* text, int value, std::size_t bytes) {
    auto const* const characters = static_cast<unsigned char const*>(text);
    for (std::size_t i = 0; i < bytes; i++)
        if (characters[i] == static_cast<unsigned char>(value))
            return const_cast<unsigned char*>(characters + i);
    return nullptr;
}

std::size_t strnlen(char const* text, std::size_t bytes) {
    std::size_t length = 0;
    while (length < bytes && text[length] != '\0')
        length++;
    return length;
}

std::size_t strlen(char const* text) {
    return strnlen(text, SIZE_MAX);
}

char* strchr(char const* text, int value) {
    return static_cast<char*>(memchr(text, value, strlen(text) + 1));
}

char* strrchr(char const* text, int value) {
    for (std::size_t i = strlen(text) + 1; i > 0; i--)
        if (text[i - 1] == static_cast<char>(value)) return const_cast<char*>(text + i - 1);
    return nullptr;
}
}
