// SPDX-License-Identifier: Apache-2.0
// What the loader must know about the boot processor: can it virtualize, or who has switched that off, which
// page sizes, which APIC ID. The CPU is a parameter, so tests pass a made-up one. Pure: host-compiled and
// unit-tested.
#pragma once
#include <concepts>
#include <cstdint>
#include <string_view>

namespace ballast::loader {
struct CpuidWords {
    std::uint32_t eax, ebx, ecx, edx;
};

template <class C>
concept CpuProbe = requires(C& cpu, std::uint32_t number) {
    { cpu.cpuid(number, number) } -> std::same_as<CpuidWords>;
    { cpu.rdmsr(number) } -> std::same_as<std::uint64_t>;
};

enum class Virtualization : std::uint8_t { Vmx, Svm, Missing, VmxLockedOff, SvmLockedOff };

namespace detail {
inline constexpr std::uint32_t kIa32FeatureControl = 0x3a; // SDM vol 4, "Architectural MSRs"
inline constexpr std::uint64_t kFeatureControlLock = 1ull << 0;
inline constexpr std::uint64_t kVmxOutsideSmx = 1ull << 2;
inline constexpr std::uint32_t kVmCr = 0xc001'0114; // APM vol 2 §15.30.1, VM_CR MSR
inline constexpr std::uint64_t kVmCrLock = 1ull << 3;
inline constexpr std::uint64_t kVmCrSvmDisable = 1ull << 4;

template <CpuProbe C>
bool extended_leaf(C& cpu, std::uint32_t leaf) {
    return cpu.cpuid(0x8000'0000, 0).eax >= leaf;
}
} // namespace detail

/// Whether the hypervisor can run here. VMX or SVM that is off but not locked counts as there: the hypervisor
/// turns it on. Source: Intel SDM vol 3C, "Enabling and Entering VMX Operation"; AMD APM vol 2 §15.4,
/// "Enabling SVM".
template <CpuProbe C>
Virtualization probe_virtualization(C& cpu) {
    using namespace detail;
    if ((cpu.cpuid(1, 0).ecx & (1u << 5)) != 0) {
        std::uint64_t const control = cpu.rdmsr(kIa32FeatureControl);
        bool const locked_off = (control & kFeatureControlLock) != 0 && (control & kVmxOutsideSmx) == 0;
        return locked_off ? Virtualization::VmxLockedOff : Virtualization::Vmx;
    }
    if (extended_leaf(cpu, 0x8000'000a) && (cpu.cpuid(0x8000'0001, 0).ecx & (1u << 2)) != 0) {
        std::uint64_t const control = cpu.rdmsr(kVmCr);
        bool const locked_off = (control & kVmCrLock) != 0 && (control & kVmCrSvmDisable) != 0;
        return locked_off ? Virtualization::SvmLockedOff : Virtualization::Svm;
    }
    return Virtualization::Missing;
}

/// CPUID 8000_0001h EDX bit 26.
template <CpuProbe C>
bool has_giant_pages(C& cpu) {
    return detail::extended_leaf(cpu, 0x8000'0001) && (cpu.cpuid(0x8000'0001, 0).edx & (1u << 26)) != 0;
}

/// The APIC ID of the processor that asks: the x2APIC ID where leaf 0Bh exists, else the initial APIC ID.
template <CpuProbe C>
std::uint32_t current_apic_id(C& cpu) {
    if (cpu.cpuid(0, 0).eax >= 0xb) {
        CpuidWords const topology = cpu.cpuid(0xb, 0);
        if (topology.ebx != 0) return topology.edx;
    }
    return cpu.cpuid(1, 0).ebx >> 24;
}
} // namespace ballast::loader
