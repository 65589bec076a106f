// SPDX-License-Identifier: Apache-2.0
// From the VMCB after #VMEXIT to a neutral Exit. Pure, and lazy: each kind reads and writes only its own
// fields.
#pragma once
#include "hv/arch/svm.hpp"
#include "hv/arch/vmcb.hpp"
#include "hv/core/exit.hpp"
#include "hv/svm/svm_features.hpp"

namespace hv::svm {
/// What is to be done with an exit.
enum class ExitClass : u8 {
    Report,           ///< `Exit` is complete
    HostEvent,        ///< a host interrupt, which still waits, or an NMI or SMI, which has been taken
    VirtualIrq,       ///< the interrupt window is open
    Exception,        ///< the virtual processor decides whether it is ours, the core's or the guest's
    FlagsInstruction, ///< PUSHF, POPF, IRET, INT n: intercepted only while we need it
    Invalid,          ///< VMRUN refused the state, or the guest broke it (exit code -1)
};

/// next - rip where that is a length an instruction can have, 0 (unknown) else.
constexpr u8 length_between(u64 rip, u64 next) {
    constexpr u64 kMaxInstructionBytes = 15;
    u64 const bytes = next - rip;
    return bytes - 1 < kMaxInstructionBytes ? static_cast<u8>(bytes) : u8{0};
}

/// Exits that are nothing but a kind and an instruction, by code; Unknown: look further.
struct SimpleExits {
    static constexpr u64 kCodes = 0xb0;
    ExitKind kind[kCodes] = {};
    constexpr SimpleExits() {
        namespace x = arch::svm::exit;
        for (ExitKind& k : kind) {
            k = ExitKind::Unknown;
        }
        kind[x::kCpuid] = ExitKind::Cpuid;
        kind[x::kHlt] = ExitKind::Halt;
        kind[x::kVmmcall] = ExitKind::Hypercall;
        kind[x::kXsetbv] = ExitKind::Xsetbv;
        kind[x::kInvd] = kind[x::kWbinvd] = ExitKind::CacheControl;
        for (u64 const code : {x::kRdpmc, x::kRsm, x::kInvlpga, x::kVmrun, x::kVmload, x::kVmsave, x::kStgi,
                               x::kClgi, x::kSkinit, x::kMonitor, x::kMwait, x::kMwaitArmed, x::kRdpru,
                               x::kInvlpgb, x::kInvlpgbIllegal, x::kMcommit, x::kTlbsync}) {
            kind[code] = ExitKind::InvalidOpcode;
        }
    }
};
inline constexpr SimpleExits kSimpleExits;

/// The most frequent exits in the fewest instructions. @return whether it was one, else nothing is written
inline bool decode_simple_exit(arch::Vmcb const& vmcb, SvmFeatures const& features, Exit& exit) {
    u64 const code = vmcb.control.exit_code;
    if (code >= SimpleExits::kCodes || kSimpleExits.kind[code] == ExitKind::Unknown) {
        return false;
    }
    exit.kind = kSimpleExits.kind[code];
    exit.instruction_bytes =
        features.next_rip_save ? length_between(vmcb.state.rip, vmcb.control.next_rip) : u8{0};
    return true;
}

/// Classifies the exit in @p vmcb; for Report fills @p exit.
/// Source: AMD APM vol 2, appendix C, "SVM Intercept Exit Codes"; §15.7 to §15.12 for EXITINFO1/2.
ExitClass decode_exit(arch::Vmcb const& vmcb, SvmFeatures const& features, Exit& exit);
} // namespace hv::svm
