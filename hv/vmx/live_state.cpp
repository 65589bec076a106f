// SPDX-License-Identifier: Apache-2.0
#include "hv/vmx/live_state.hpp"
#include "hv/arch/ops/cpu_ops.hpp"

namespace hv::vmx {
void LiveState::save(usize msr_count) {
    for (usize i = 0; i < msr_count; ++i) {
        msrs[i] = arch::rdmsr(kLiveMsrs[i]);
    }
    cr2 = arch::read_cr2();
}

void LiveState::restore(usize msr_count) const {
    for (usize i = 0; i < msr_count; ++i) {
        arch::wrmsr(kLiveMsrs[i], msrs[i]);
    }
    arch::write_cr2(cr2);
}
} // namespace hv::vmx
