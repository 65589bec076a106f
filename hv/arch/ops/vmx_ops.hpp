// SPDX-License-Identifier: Apache-2.0
// The VMX instructions, one function each. All need CR4.VMXE and CPL 0 and, VMXON apart, VMX operation. Each
// returns whether the CPU did it: false is VMfail (SDM vol 3C, "Conventions": CF or ZF set).
#pragma once
#include "hv/base/addr.hpp"

namespace hv::arch {
/// @param region physical address of the VMXON region, 4 KiB aligned, its first word the VMCS revision.
inline bool vmxon(Hpa region) {
    bool failed;
    asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
    return !failed;
}
inline void vmxoff() {
    asm volatile("vmxoff" : : : "memory", "cc");
}
inline bool vmclear(Hpa region) {
    bool failed;
    asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
    return !failed;
}
inline bool vmptrld(Hpa region) {
    bool failed;
    asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region.raw) : "memory");
    return !failed;
}
/// Reads a field of the current VMCS. @param value valid only on success
inline bool vmread(u64 field, u64& value) {
    bool failed;
    asm volatile("vmreadq %2, %1" : "=@ccbe"(failed), "=r"(value) : "r"(field));
    return !failed;
}
inline bool vmwrite(u64 field, u64 value) {
    bool failed;
    asm volatile("vmwriteq %1, %2" : "=@ccbe"(failed) : "r"(value), "r"(field) : "memory");
    return !failed;
}

/// SDM vol 3C, INVEPT and INVVPID: type in a register, 128-bit descriptor in memory.
enum class Invept : u64 { SingleContext = 1, AllContexts = 2 };
enum class Invvpid : u64 { SingleContext = 1, AllContexts = 2 };
struct InvalidationDescriptor {
    u64 subject = 0; ///< EPTP, or VPID
    u64 address = 0;
};
inline bool invept(Invept type, u64 eptp) {
    InvalidationDescriptor const descriptor{eptp, 0};
    bool failed;
    asm volatile("invept %1, %2"
                 : "=@ccbe"(failed)
                 : "m"(descriptor), "r"(static_cast<u64>(type))
                 : "memory");
    return !failed;
}
inline bool invvpid(Invvpid type, u16 vpid) {
    InvalidationDescriptor const descriptor{vpid, 0};
    bool failed;
    asm volatile("invvpid %1, %2"
                 : "=@ccbe"(failed)
                 : "m"(descriptor), "r"(static_cast<u64>(type))
                 : "memory");
    return !failed;
}

/// Runs the host's NMI handler; its IRET ends the blocking of NMIs that an NMI exit leaves behind.
inline void call_nmi_handler() {
    asm volatile("int $2" : : : "memory");
}
} // namespace hv::arch
