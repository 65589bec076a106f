// SPDX-License-Identifier: Apache-2.0
// VMX by the manual: capability MSRs, control bits, exit reasons, and the words that describe an exit or an
// event. Layout only, portable. Source: Intel SDM vol 3C "Virtual Machine Control Structures" and vol 3D
// appendices A and C.
#pragma once
#include "hv/base/bits.hpp"

namespace hv::arch::vmx {
// ---- SDM vol 4, table "IA-32 Architectural MSRs"
inline constexpr u32 IA32_FEATURE_CONTROL = 0x3a;
inline constexpr u32 IA32_VMX_BASIC = 0x480;
inline constexpr u32 IA32_VMX_MISC = 0x485;
inline constexpr u32 IA32_VMX_CR0_FIXED0 = 0x486;
inline constexpr u32 IA32_VMX_CR0_FIXED1 = 0x487;
inline constexpr u32 IA32_VMX_CR4_FIXED0 = 0x488;
inline constexpr u32 IA32_VMX_CR4_FIXED1 = 0x489;
inline constexpr u32 IA32_VMX_PROCBASED_CTLS2 = 0x48b;
inline constexpr u32 IA32_VMX_EPT_VPID_CAP = 0x48c;
inline constexpr u32 IA32_VMX_TRUE_PINBASED_CTLS = 0x48d;
inline constexpr u32 IA32_VMX_TRUE_PROCBASED_CTLS = 0x48e;
inline constexpr u32 IA32_VMX_TRUE_EXIT_CTLS = 0x48f;
inline constexpr u32 IA32_VMX_TRUE_ENTRY_CTLS = 0x490;

namespace feature_control { // vol 4, IA32_FEATURE_CONTROL
using Lock = Bits<0>;
using VmxOutsideSmx = Bits<2>;
} // namespace feature_control
namespace basic { // vol 3D, A.1 Basic VMX Information
using Revision = Bits<30, 0>;
using RegionBytes = Bits<44, 32>;
using MemoryType = Bits<53, 50>;
using TrueControls = Bits<55>;
constexpr u64 kWriteBack = 6;
} // namespace basic
static_assert(basic::MemoryType::get(0x00d8'1000'0000'002b) == basic::kWriteBack);
namespace misc {              // A.6 Miscellaneous Data
using TimerRate = Bits<4, 0>; ///< the preemption timer counts down when this bit of the TSC changes
using StoresLma = Bits<5>;    ///< VM exit copies EFER.LMA into the "IA-32e mode guest" entry control
} // namespace misc
namespace ept_vpid { // A.10 VPID and EPT Capabilities
using WalkLength4 = Bits<6>;
using WriteBack = Bits<14>;
using Page2M = Bits<16>;
using Page1G = Bits<17>;
using Invept = Bits<20>;
using AccessedDirty = Bits<21>;
using InveptSingle = Bits<25>;
using InveptAll = Bits<26>;
using Invvpid = Bits<32>;
using InvvpidSingle = Bits<41>;
using InvvpidAll = Bits<42>;
} // namespace ept_vpid

namespace pin { // vol 3C, "Pin-Based VM-Execution Controls"
using ExternalInterruptExiting = Bits<0>;
using NmiExiting = Bits<3>;
using VirtualNmis = Bits<5>;
using ActivatePreemptionTimer = Bits<6>;
} // namespace pin
namespace primary { // "Primary Processor-Based VM-Execution Controls"
using InterruptWindowExiting = Bits<2>;
using UseTscOffsetting = Bits<3>;
using HltExiting = Bits<7>;
using MwaitExiting = Bits<10>;
using RdpmcExiting = Bits<11>;
using Cr3LoadExiting = Bits<15>;
using Cr3StoreExiting = Bits<16>;
using Cr8LoadExiting = Bits<19>;
using Cr8StoreExiting = Bits<20>;
using MovDrExiting = Bits<23>;
using UnconditionalIoExiting = Bits<24>;
using MonitorTrapFlag = Bits<27>;
using UseMsrBitmaps = Bits<28>;
using MonitorExiting = Bits<29>;
using ActivateSecondaryControls = Bits<31>;
} // namespace primary
namespace secondary { // "Secondary Processor-Based VM-Execution Controls"
using EnableEpt = Bits<1>;
using EnableRdtscp = Bits<3>;
using EnableVpid = Bits<5>;
using WbinvdExiting = Bits<6>;
using UnrestrictedGuest = Bits<7>;
using EnableInvpcid = Bits<12>;
} // namespace secondary
namespace exit_control { // "VM-Exit Controls"
using SaveDebugControls = Bits<2>;
using HostAddressSpaceSize = Bits<9>;
using SavePat = Bits<18>;
using LoadPat = Bits<19>;
using SaveEfer = Bits<20>;
using LoadEfer = Bits<21>;
using SavePreemptionTimer = Bits<22>;
} // namespace exit_control
namespace entry_control { // "VM-Entry Controls"
using LoadDebugControls = Bits<2>;
using Ia32eModeGuest = Bits<9>;
using LoadPat = Bits<14>;
using LoadEfer = Bits<15>;
} // namespace entry_control

/// Vol 3D, appendix C, "VMX Basic Exit Reasons": those that a control we set, or no control at all, can
/// cause.
enum class ExitReason : u32 {
    ExceptionOrNmi = 0,
    ExternalInterrupt = 1,
    TripleFault = 2,
    Init = 3,
    StartUpIpi = 4,
    InterruptWindow = 7,
    NmiWindow = 8,
    TaskSwitch = 9,
    Cpuid = 10,
    Getsec = 11,
    Hlt = 12,
    Invd = 13,
    Rdpmc = 15,
    Rdtsc = 16,
    Vmcall = 18,
    Vmclear = 19,
    Vmlaunch = 20,
    Vmptrld = 21,
    Vmptrst = 22,
    Vmread = 23,
    Vmresume = 24,
    Vmwrite = 25,
    Vmxoff = 26,
    Vmxon = 27,
    ControlRegister = 28,
    MovDr = 29,
    Io = 30,
    Rdmsr = 31,
    Wrmsr = 32,
    InvalidGuestState = 33,
    MsrLoading = 34,
    Mwait = 36,
    MonitorTrapFlag = 37,
    Monitor = 39,
    MachineCheckAtEntry = 41,
    EptViolation = 48,
    EptMisconfiguration = 49,
    Invept = 50,
    Rdtscp = 51,
    PreemptionTimer = 52,
    Invvpid = 53,
    Wbinvd = 54,
    Xsetbv = 55,
    Vmfunc = 59,
    Encls = 60,
    Pconfig = 65,
    Umwait = 67,
    Tpause = 68,
    Loadiwkey = 69,
};
namespace reason { // vol 3C, "Basic VM-Exit Information", exit-reason field
using Basic = Bits<15, 0>;
using EntryFailure = Bits<31>;
} // namespace reason

namespace cr_access { // vol 3C, "Exit Qualification for Control-Register Accesses"
using Number = Bits<3, 0>;
using Type = Bits<5, 4>; ///< 0 MOV to CR, 1 MOV from CR, 2 CLTS, 3 LMSW
using Gpr = Bits<11, 8>;
using LmswSource = Bits<31, 16>;
} // namespace cr_access
namespace dr_access { // "Exit Qualification for MOV DR"
using Number = Bits<2, 0>;
using FromDr = Bits<4>;
using Gpr = Bits<11, 8>;
} // namespace dr_access
namespace io_access { // "Exit Qualification for I/O Instructions"
using SizeMinus1 = Bits<2, 0>;
using In = Bits<3>;
using String = Bits<4>;
using Rep = Bits<5>;
using Port = Bits<31, 16>;
} // namespace io_access
namespace ept_violation { // "Exit Qualification for EPT Violations"
using Read = Bits<0>;
using Write = Bits<1>;
using Fetch = Bits<2>;
using Permissions = Bits<5, 3>; ///< readable, writable, executable: 0 when nothing was mapped
using LinearValid = Bits<7>;    ///< the guest linear address field is valid
using FinalAddress = Bits<8>;   ///< the access was to the translation of it, not to a paging structure
using NmiUnblockingByIret = Bits<12>;
} // namespace ept_violation
namespace debug_exit { // "Exit Qualification for Debug Exceptions"; also pending debug exceptions and DR6
using Breakpoints = Bits<3, 0>;
using EnabledBreakpoint = Bits<12>; ///< pending debug exceptions only: one of those above is enabled in DR7
using GeneralDetect = Bits<13>;
using SingleStep = Bits<14>;
} // namespace debug_exit

/// One layout for three fields: VM-entry interruption information, VM-exit interruption information and
/// IDT-vectoring information (vol 3C, tables of these names).
namespace interruption {
using Vector = Bits<7, 0>;
using Type = Bits<10, 8>;
using HasErrorCode = Bits<11>;
using NmiUnblockingByIret = Bits<12>; ///< VM-exit interruption information only
using Valid = Bits<31>;
constexpr u64 kExternal = 0, kNmi = 2, kHardwareException = 3, kSoftwareInterrupt = 4,
              kPrivilegedSoftwareException = 5, kSoftwareException = 6;
} // namespace interruption
namespace interruptibility { // vol 3C, table "Format of Interruptibility State"
using BlockingBySti = Bits<0>;
using BlockingByMovSs = Bits<1>;
using BlockingBySmi = Bits<2>;
using BlockingByNmi = Bits<3>;
} // namespace interruptibility
namespace access_rights { // vol 3C, table "Format of Access Rights"
using Type = Bits<3, 0>;
using System = Bits<4>; ///< S: 0 system, 1 code or data
using Dpl = Bits<6, 5>;
using Present = Bits<7>;
using High = Bits<15, 12>; ///< AVL, L, D/B, G
using Long = Bits<13>;
using Granularity = Bits<15>;
using Unusable = Bits<16>;
} // namespace access_rights
} // namespace hv::arch::vmx
