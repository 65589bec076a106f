// SPDX-License-Identifier: Apache-2.0
// The architectural state of a virtual processor, in neutral form: what the kernel loaders set, the exit
// handlers use and the debugger shows. Encodings follow the manuals' x86 encodings so that decoders can
// index.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
/// General registers in x86 encoding order (SDM vol 2, ModR/M), plus RIP and RFLAGS.
enum class Reg : u8 {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rip,
    Rflags
};
inline constexpr unsigned kGprCount = 16;

/// The general registers the world switch saves and restores. Shared with the entry stubs in assembly: index
/// = Reg, 8 bytes each. The slot of RSP is not used by the hardware world switch: RSP, RIP and RFLAGS live
/// with the backend.
struct GuestGprs {
    u64 value[kGprCount] = {};
    u64& operator[](Reg r) { return value[static_cast<u8>(r)]; }
    u64 operator[](Reg r) const { return value[static_cast<u8>(r)]; }
};

enum class Seg : u8 { Es, Cs, Ss, Ds, Fs, Gs, Ldtr, Tr };

/// A segment register with its hidden part. `attributes` in the SVM VMCB's packed form (APM vol 2, "VMCB
/// state save area"): bits 3:0 type, 4 S, 6:5 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G. P = 0 stands for
/// "unusable".
struct Segment {
    u16 selector = 0;
    u16 attributes = 0;
    u32 limit = 0; ///< in bytes, already scaled by G
    u64 base = 0;
};

struct DescriptorTable {
    u64 base = 0;
    u32 limit = 0;
};

enum class ControlReg : u8 { Cr0, Cr2, Cr3, Cr4, Cr8, Xcr0 };

/// Model-specific registers whose guest value lives with the backend (VMCB/VMCS or switched by it), by MSR
/// number. VirtVcpu::read() and write() take these only.
enum class StateMsr : u32 {
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_SYSENTER_EIP = 0x176,
    IA32_PAT = 0x277,
    IA32_EFER = 0xc000'0080,
    IA32_STAR = 0xc000'0081,
    IA32_LSTAR = 0xc000'0082,
    IA32_CSTAR = 0xc000'0083,
    IA32_FMASK = 0xc000'0084,
    IA32_FS_BASE = 0xc000'0100,
    IA32_GS_BASE = 0xc000'0101,
    IA32_KERNEL_GS_BASE = 0xc000'0102,
};

namespace rflags {
inline constexpr u64 kReserved1 = 1u << 1;
inline constexpr u64 kCarry = 1u << 0;
inline constexpr u64 kZero = 1u << 6;
inline constexpr u64 kTrap = 1u << 8;
inline constexpr u64 kInterrupt = 1u << 9;
inline constexpr u64 kDirection = 1u << 10;
inline constexpr u64 kResume = 1u << 16;
inline constexpr u64 kVirtual8086 = 1u << 17;
} // namespace rflags
namespace cr0 {
inline constexpr u64 kPe = 1u << 0, kMp = 1u << 1, kEm = 1u << 2, kTs = 1u << 3, kEt = 1u << 4, kNe = 1u << 5,
                     kWp = 1u << 16, kAm = 1u << 18, kNw = 1u << 29, kCd = 1u << 30, kPg = 1u << 31;
}
namespace cr4 {
inline constexpr u64 kPse = 1u << 4, kPae = 1u << 5, kMce = 1u << 6, kPge = 1u << 7, kOsfxsr = 1u << 9,
                     kOsxmmexcpt = 1u << 10, kUmip = 1u << 11, kLa57 = 1u << 12, kVmxe = 1u << 13,
                     kSmxe = 1u << 14, kFsgsbase = 1u << 16, kPcide = 1u << 17, kOsxsave = 1u << 18,
                     kSmep = 1u << 20, kSmap = 1u << 21, kPke = 1u << 22;
}
namespace efer {
inline constexpr u64 kSce = 1u << 0, kLme = 1u << 8, kLma = 1u << 10, kNxe = 1u << 11, kSvme = 1u << 12,
                     kFfxsr = 1u << 14;
}

namespace vector {
inline constexpr u8 kDivide = 0, kDebug = 1, kNmi = 2, kBreakpoint = 3, kInvalidOpcode = 6,
                    kDeviceNotAvailable = 7, kDoubleFault = 8, kInvalidTss = 10, kSegmentNotPresent = 11,
                    kStackFault = 12, kGeneralProtection = 13, kPageFault = 14, kMachineCheck = 18;
}
} // namespace hv
