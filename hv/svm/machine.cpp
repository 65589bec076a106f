// SPDX-License-Identifier: Apache-2.0
// The target's side of world_switch.hpp that needs no assembly file. A unit test's fake processor replaces
// it.
#include "hv/svm/world_switch.hpp"
#if defined(HV_FREESTANDING)
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/arch/ops/svm_ops.hpp"

using namespace hv;

void hv_svm_save_host_state(u64 host_vmcb_at) {
    arch::vmsave(host_vmcb_at);
}
u64 hv_svm_rdmsr(u32 index) {
    return arch::rdmsr(index);
}
void hv_svm_wrmsr(u32 index, u64 value) {
    arch::wrmsr(index, value);
}
void hv_svm_cpuid(u32 leaf, u32 subleaf, arch::CpuidResult* registers) {
    *registers = arch::cpuid(leaf, subleaf);
}
void hv_svm_write_breakpoint_addresses(u64 const (&addresses)[4]) {
    arch::write_dr<0>(addresses[0]);
    arch::write_dr<1>(addresses[1]);
    arch::write_dr<2>(addresses[2]);
    arch::write_dr<3>(addresses[3]);
}
bool hv_svm_is_own_address(u64 address) {
    u64 const own[] = {reinterpret_cast<u64>(&hv_svm_world_switch_armed),
                       reinterpret_cast<u64>(__builtin_frame_address(0)), arch::sgdt().base};
    for (u64 const o : own) {
        if (((o ^ address) >> 21) == 0) {
            return true;
        }
    }
    return false;
}
u64 hv_svm_read_cr3() {
    return arch::read_cr3();
}
#endif
