// SPDX-License-Identifier: Apache-2.0
// Numbers and bits of AMD's Secure Virtual Machine: intercepts, exit codes, event words, MSRs, CPUID. The
// VMCB that holds them is hv/arch/vmcb.hpp.
#pragma once
#include "hv/base/bits.hpp"

namespace hv::arch::svm {
/// CPUID 8000_0001h ECX.
inline constexpr u32 kCpuidSvm = 1u << 2;
/// CPUID 8000_0001h EDX.
inline constexpr u32 kCpuidPage1Gb = 1u << 26, kCpuidRdtscp = 1u << 27;
/// AMD APM vol 3, CPUID Fn8000_000A, "SVM Features": EDX.
namespace feature {
inline constexpr u32 kNestedPaging = 1u << 0;
inline constexpr u32 kNextRipSave = 1u << 3;
inline constexpr u32 kVmcbClean = 1u << 5;
inline constexpr u32 kFlushByAsid = 1u << 6;
inline constexpr u32 kDecodeAssists = 1u << 7;
} // namespace feature

/// AMD APM vol 2, appendix A, "MSR Cross-Reference"; §15.30 "SVM Related MSRs".
namespace msr {
inline constexpr u32 kEfer = 0xc000'0080;
inline constexpr u32 kTscAux = 0xc000'0103;
inline constexpr u32 kVmCr = 0xc001'0114;
inline constexpr u32 kVmHsavePa = 0xc001'0117;
} // namespace msr
inline constexpr u64 kVmCrLock = 1u << 3;
inline constexpr u64 kVmCrSvmDisable = 1u << 4;

/// VMCB offset 00Ch.
namespace intercept1 {
inline constexpr u32 kIntr = 1u << 0, kNmi = 1u << 1, kSmi = 1u << 2, kInit = 1u << 3, kVintr = 1u << 4;
inline constexpr u32 kCr0SelectiveWrite = 1u << 5;
inline constexpr u32 kRdtsc = 1u << 14, kRdpmc = 1u << 15, kPushf = 1u << 16, kPopf = 1u << 17;
inline constexpr u32 kCpuid = 1u << 18, kRsm = 1u << 19, kIret = 1u << 20, kSoftwareInt = 1u << 21;
inline constexpr u32 kInvd = 1u << 22, kPause = 1u << 23, kHlt = 1u << 24, kInvlpga = 1u << 26;
inline constexpr u32 kIo = 1u << 27, kMsr = 1u << 28, kTaskSwitch = 1u << 29, kShutdown = 1u << 31;
} // namespace intercept1
/// VMCB offset 010h.
namespace intercept2 {
inline constexpr u32 kVmrun = 1u << 0, kVmmcall = 1u << 1, kVmload = 1u << 2, kVmsave = 1u << 3;
inline constexpr u32 kStgi = 1u << 4, kClgi = 1u << 5, kSkinit = 1u << 6, kRdtscp = 1u << 7;
inline constexpr u32 kIcebp = 1u << 8;
inline constexpr u32 kWbinvd = 1u << 9, kMonitor = 1u << 10, kMwait = 1u << 11, kMwaitArmed = 1u << 12;
inline constexpr u32 kXsetbv = 1u << 13, kRdpru = 1u << 14;
} // namespace intercept2
/// VMCB offset 014h.
namespace intercept3 {
inline constexpr u32 kInvlpgb = 1u << 0, kInvlpgbIllegal = 1u << 1, kMcommit = 1u << 3, kTlbsync = 1u << 4;
}

/// VMCB offset 058h, bits 39:32 (AMD APM vol 2 §15.16, "TLB Control").
enum class TlbControl : u32 { Nothing = 0, FlushAll = 1, FlushThisAsid = 3 };

/// VMCB offset 060h.
namespace interrupt_control {
inline constexpr u64 kVirtualIrq = 1u << 8;
inline constexpr u64 kPriority = Bits<19, 16>::mask;
inline constexpr u64 kIgnoreTpr = 1u << 20;
inline constexpr u64 kMasking = 1u << 24;
using VirtualVector = Bits<39, 32>;
} // namespace interrupt_control
inline constexpr u64 kInterruptShadow = 1u << 0;
inline constexpr u64 kNestedPagingEnable = 1u << 0;

/// EVENTINJ and EXITINTINFO (AMD APM vol 2 §15.20, "Event Injection", and §15.7.2).
namespace event {
using Vector = Bits<7, 0>;
using Type = Bits<10, 8>;
using ErrorValid = Bits<11>;
using Valid = Bits<31>;
using ErrorCode = Bits<63, 32>;
inline constexpr u64 kTypeExternal = 0, kTypeNmi = 2, kTypeException = 3, kTypeSoftware = 4;
} // namespace event

/// VMCB offset 0C0h (AMD APM vol 2 §15.15.3, "VMCB Clean Field").
namespace clean {
inline constexpr u32 kIntercepts = 1u << 0; ///< intercept words, TSC offset, pause filter
inline constexpr u32 kPermissionMaps = 1u << 1;
inline constexpr u32 kAsid = 1u << 2;
inline constexpr u32 kInterruptControl = 1u << 3;
inline constexpr u32 kNestedPaging = 1u << 4; ///< nested CR3, g_pat
inline constexpr u32 kControlRegisters = 1u << 5;
inline constexpr u32 kDebugRegisters = 1u << 6;
inline constexpr u32 kDescriptorTables = 1u << 7;
inline constexpr u32 kSegments = 1u << 8; ///< CS, DS, SS, ES, CPL
inline constexpr u32 kCr2 = 1u << 9;
inline constexpr u32 kAll = (1u << 10) - 1;
} // namespace clean

/// AMD APM vol 2, appendix C, "SVM Intercept Exit Codes".
namespace exit {
inline constexpr u64 kCrRead = 0x000, kCrWrite = 0x010, kDrRead = 0x020, kDrWrite = 0x030;
inline constexpr u64 kException = 0x040;
inline constexpr u64 kIntr = 0x060, kNmi = 0x061, kSmi = 0x062, kInit = 0x063, kVintr = 0x064;
inline constexpr u64 kCr0SelectiveWrite = 0x065;
inline constexpr u64 kRdtsc = 0x06e, kRdpmc = 0x06f, kPushf = 0x070, kPopf = 0x071, kCpuid = 0x072;
inline constexpr u64 kRsm = 0x073, kIret = 0x074, kSoftwareInt = 0x075, kInvd = 0x076, kPause = 0x077;
inline constexpr u64 kHlt = 0x078, kInvlpga = 0x07a, kIo = 0x07b, kMsr = 0x07c, kTaskSwitch = 0x07d;
inline constexpr u64 kShutdown = 0x07f, kVmrun = 0x080, kVmmcall = 0x081, kVmload = 0x082, kVmsave = 0x083;
inline constexpr u64 kStgi = 0x084, kClgi = 0x085, kSkinit = 0x086, kRdtscp = 0x087, kIcebp = 0x088;
inline constexpr u64 kWbinvd = 0x089, kMonitor = 0x08a, kMwait = 0x08b, kMwaitArmed = 0x08c, kXsetbv = 0x08d;
inline constexpr u64 kRdpru = 0x08e, kInvlpgb = 0x0a0, kInvlpgbIllegal = 0x0a1, kMcommit = 0x0a3;
inline constexpr u64 kTlbsync = 0x0a4;
inline constexpr u64 kNestedPageFault = 0x400;
/// VMEXIT_INVALID is -1; one emulator leaves the upper half clear, so only the low half is compared.
constexpr bool is_invalid(u64 code) {
    return static_cast<u32>(code) == 0xffff'ffff;
}
} // namespace exit

/// EXITINFO1 of the IOIO intercept (AMD APM vol 2 §15.10.2).
namespace io_info {
using In = Bits<0>;
using String = Bits<2>;
using Repeat = Bits<3>;
using SizeBytes = Bits<6, 4>; ///< one-hot: its value is the size
using Port = Bits<31, 16>;
} // namespace io_info
/// EXITINFO1 of a nested page fault (AMD APM vol 2 §15.25.6, "Nested versus Guest Page Faults").
namespace npf_info {
using Present = Bits<0>;
using Write = Bits<1>;
using Reserved = Bits<3>;
using Fetch = Bits<4>;
using FinalAddress = Bits<32>;
using TableWalk = Bits<33>;
} // namespace npf_info
/// EXITINFO1 of MOV CRn and MOV DRn with decode assists (AMD APM vol 2 §15.33.1).
namespace mov_info {
using Gpr = Bits<3, 0>;
using IsMov = Bits<63>; ///< CRn only: clear for CLTS, LMSW, SMSW
} // namespace mov_info
} // namespace hv::arch::svm
