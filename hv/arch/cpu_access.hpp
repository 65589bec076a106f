// SPDX-License-Identifier: Apache-2.0
// The processor as a parameter: what code that reads MSRs, ports or CPUID asks for, so that tests pass a
// fake. The real one is hv/arch/ops/cpu_ops.hpp's RealCpu.
#pragma once
#include "hv/base/types.hpp"
#include <concepts>

namespace hv::arch {
/// What CPUID leaves in the four registers.
struct CpuidResult {
    u32 eax, ebx, ecx, edx;
};

template <class C>
concept MsrAccess = requires(C& c, u32 index, u64 v) {
    { c.rdmsr(index) } -> std::same_as<u64>;
    { c.wrmsr(index, v) } -> std::same_as<void>;
};
template <class C>
concept PortAccess = requires(C& c, u16 port, u8 v) {
    { c.in8(port) } -> std::same_as<u8>;
    { c.out8(port, v) } -> std::same_as<void>;
};
template <class C>
concept CpuidAccess = requires(C& c, u32 leaf, u32 subleaf) {
    { c.cpuid(leaf, subleaf) } -> std::same_as<CpuidResult>;
};

} // namespace hv::arch
