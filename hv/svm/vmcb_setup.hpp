// SPDX-License-Identifier: Apache-2.0
// The VMCB of a new virtual processor: which instructions exit, and the state after reset. Pure.
#pragma once
#include "hv/arch/svm.hpp"
#include "hv/arch/vmcb.hpp"
#include "hv/base/addr.hpp"
#include "hv/svm/svm_features.hpp"

namespace hv::svm {
/// Exceptions that exit whatever the core asks for. Machine checks are the host's. #DB and #AC can be raised
/// by their own delivery: a guest that arranges it would never let a host interrupt in.
inline constexpr u32 kAlwaysInterceptedExceptions = (1u << 1) | (1u << 17) | (1u << vector::kMachineCheck);
/// Every exception a guest can raise; NMI is no exception, 9, 15 and 20 do not happen.
inline constexpr u32 kDefinedExceptions = 0x2f'7dfb;
/// While a trap flag of ours is set in an interrupt shadow: instructions that store or load the flags.
inline constexpr u32 kFlagsIntercepts = arch::svm::intercept1::kPushf | arch::svm::intercept1::kPopf |
                                        arch::svm::intercept1::kIret | arch::svm::intercept1::kSoftwareInt;

struct VmcbAddresses {
    Hpa io_map;
    Hpa msr_map;
    Hpa nested_root;
};

/// Fills the control area of a zeroed VMCB. @param asid 1 … features.asid_count - 1
void set_up_control(arch::VmcbControl& control, SvmFeatures const& features, VmcbAddresses const& at,
                    u32 asid);

/// The state after power-on or INIT, general registers aside.
/// Source: AMD APM vol 2 §14.1.3, "Processor Initialization State".
void set_reset_state(arch::VmcbState& state);
} // namespace hv::svm
