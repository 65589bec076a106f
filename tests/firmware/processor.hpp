// SPDX-License-Identifier: Apache-2.0
// The privileged instructions of the test firmware, and COM1 as its voice: that works wherever it runs, also
// between a #VMEXIT and the next VMRUN.
#pragma once
#include <cstdint>
#include <string_view>

namespace ballast::test_firmware {
struct CpuidWords {
    std::uint32_t eax, ebx, ecx, edx;
};

inline CpuidWords cpuid(std::uint32_t leaf) {
    CpuidWords words;
    asm volatile("cpuid"
                 : "=a"(words.eax), "=b"(words.ebx), "=c"(words.ecx), "=d"(words.edx)
                 : "a"(leaf), "c"(0));
    return words;
}

inline std::uint64_t rdmsr(std::uint32_t index) {
    std::uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return std::uint64_t{high} << 32 | low;
}

inline void wrmsr(std::uint32_t index, std::uint64_t value) {
    asm volatile("wrmsr"
                 :
                 : "c"(index), "a"(static_cast<std::uint32_t>(value)),
                   "d"(static_cast<std::uint32_t>(value >> 32))
                 : "memory");
}

/// Writes a line to COM1 as the firmware has set it up.
void say(std::string_view text);

/// Says what is wrong and halts for ever: the test's time limit is the end.
[[noreturn]] void give_up(std::string_view why, std::uint64_t number);
} // namespace ballast::test_firmware
