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
    HostInterrupt,    ///< a host interrupt waits: let it in, then report HostEvent
    HostEvent,        ///< an NMI or SMI ended the guest; it has been taken already
    VirtualIrq,       ///< the interrupt window is open
    Exception,        ///< the virtual processor decides whether it is ours, the core's or the guest's
    FlagsInstruction, ///< PUSHF, POPF, IRET, INT n: intercepted only while we need it
    Invalid,          ///< VMRUN refused the state, or the guest broke it (exit code -1)
};

/// Classifies the exit in @p vmcb; for Report fills @p exit.
/// Source: AMD APM vol 2, appendix C, "SVM Intercept Exit Codes"; §15.7 to §15.12 for EXITINFO1/2.
ExitClass decode_exit(arch::Vmcb const& vmcb, SvmFeatures const& features, Exit& exit);
} // namespace hv::svm
