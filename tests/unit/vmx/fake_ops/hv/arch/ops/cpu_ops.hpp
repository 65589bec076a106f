// SPDX-License-Identifier: Apache-2.0
// Stands in for hv/arch/ops/cpu_ops.hpp when hv/vmx is compiled for its unit tests: the same names, carried
// out by FakeVmxCpu. Only what hv/vmx uses.
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/base/types.hpp"

namespace hv::arch {
struct PseudoDescriptor {
    u16 limit;
    u64 base;
};
CpuidResult cpuid(u32 leaf, u32 subleaf = 0);
u64 rdtsc();
u64 rdmsr(u32 index);
void wrmsr(u32 index, u64 value);
u64 read_cr0();
u64 read_cr2();
u64 read_cr3();
u64 read_cr4();
void write_cr0(u64 v);
void write_cr2(u64 v);
void write_cr4(u64 v);
void fake_write_dr(unsigned index, u64 v);
template <unsigned Index>
inline void write_dr(u64 v) {
    fake_write_dr(Index, v);
}
PseudoDescriptor sgdt();
PseudoDescriptor sidt();
inline u16 str() {
    return 0x18;
}
inline u16 read_cs() {
    return 0x08;
}
inline u16 read_ss() {
    return 0x10;
}
inline u16 read_ds() {
    return 0x10;
}
inline u16 read_es() {
    return 0x10;
}
inline u16 read_fs() {
    return 0x10;
}
inline u16 read_gs() {
    return 0x10;
}

struct RealCpu {
    u64 rdmsr(u32 index) const { return arch::rdmsr(index); }
    void wrmsr(u32 index, u64 value) const { arch::wrmsr(index, value); }
};
static_assert(MsrAccess<RealCpu>);
} // namespace hv::arch
