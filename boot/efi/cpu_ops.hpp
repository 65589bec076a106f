// SPDX-License-Identifier: Apache-2.0
// The loader's privileged instructions, one a function.
#pragma once
#include "boot/efi/cpu_features.hpp"
#include <cstdint>

namespace ballast::loader {
/// The processor we run on, as a CpuProbe.
struct RealCpu {
    CpuidWords cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
        CpuidWords words;
        asm volatile("cpuid"
                     : "=a"(words.eax), "=b"(words.ebx), "=c"(words.ecx), "=d"(words.edx)
                     : "a"(leaf), "c"(subleaf));
        return words;
    }

    std::uint64_t rdmsr(std::uint32_t index) {
        std::uint32_t low, high;
        asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
        return std::uint64_t{high} << 32 | low;
    }
};
static_assert(CpuProbe<RealCpu>);

inline void wrmsr(std::uint32_t index, std::uint64_t value) {
    asm volatile("wrmsr"
                 :
                 : "c"(index), "a"(static_cast<std::uint32_t>(value)),
                   "d"(static_cast<std::uint32_t>(value >> 32))
                 : "memory");
}

inline std::uint64_t read_cr4() {
    std::uint64_t value;
    asm volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

inline std::uint64_t read_tsc() {
    std::uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return std::uint64_t{high} << 32 | low;
}

inline void out8(std::uint16_t port, std::uint8_t value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

inline std::uint8_t in8(std::uint16_t port) {
    std::uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

inline void disable_interrupts() {
    asm volatile("cli" : : : "memory");
}
inline void halt() {
    asm volatile("hlt" : : : "memory");
}
inline void pause() {
    asm volatile("pause" : : : "memory");
}
} // namespace ballast::loader
