// SPDX-License-Identifier: Apache-2.0
// The instructions only SVM has, one function each (AMD APM vol 3, "System Instruction Reference"). VMRUN is
// not here: what surrounds it is hv/svm/world_switch.S. All need CPL 0 and EFER.SVME.
#pragma once
#include "hv/base/types.hpp"

namespace hv::arch {
/// Holds back interrupts, NMI, SMI and machine checks until STGI.
inline void clgi() {
    asm volatile("clgi" : : : "memory");
}
inline void stgi() {
    asm volatile("stgi" : : : "memory");
}
/// Loads FS, GS, TR, LDTR, KERNEL_GS_BASE, the SYSCALL and SYSENTER registers from the VMCB at host-physical
/// @p vmcb_at.
inline void vmload(u64 vmcb_at) {
    asm volatile("vmload %0" : : "a"(vmcb_at) : "memory");
}
/// Stores what vmload() loads.
inline void vmsave(u64 vmcb_at) {
    asm volatile("vmsave %0" : : "a"(vmcb_at) : "memory");
}
/// Drops the translation of guest-linear @p address tagged @p asid on this CPU.
inline void invlpga(u64 address, u32 asid) {
    asm volatile("invlpga %0, %1" : : "a"(address), "c"(asid) : "memory");
}
} // namespace hv::arch
