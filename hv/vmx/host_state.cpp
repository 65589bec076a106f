// SPDX-License-Identifier: Apache-2.0
#include "hv/vmx/host_state.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/core/registers.hpp"
#include "hv/vmx/world_switch.hpp"

namespace hv::vmx {
void write_host_state(CurrentVmcs vmcs, Controls const& controls) {
    namespace f = arch::vmcs;
    vmcs.write(f::host_cr0, arch::read_cr0());
    vmcs.write(f::host_cr3, arch::read_cr3());
    vmcs.write(f::host_cr4, arch::read_cr4());

    // Host selectors must have RPL 0 and no LDT (SDM vol 3C, "Checks on Host Segment and Descriptor-Table
    // Registers").
    vmcs.write(f::host_es_selector, arch::read_es());
    vmcs.write(f::host_cs_selector, arch::read_cs());
    vmcs.write(f::host_ss_selector, arch::read_ss());
    vmcs.write(f::host_ds_selector, arch::read_ds());
    vmcs.write(f::host_fs_selector, arch::read_fs());
    vmcs.write(f::host_gs_selector, arch::read_gs());
    u16 const task = arch::str();
    vmcs.write(f::host_tr_selector, task);

    arch::PseudoDescriptor const gdt = arch::sgdt();
    arch::PseudoDescriptor const idt = arch::sidt();
    std::span const table{reinterpret_cast<u64 const*>(gdt.base), (gdt.limit + 1u) / sizeof(u64)};
    vmcs.write(f::host_tr_base, system_descriptor_base(table, task));
    vmcs.write(f::host_gdtr_base, gdt.base);
    vmcs.write(f::host_idtr_base, idt.base);
    vmcs.write(f::host_fs_base, arch::rdmsr(static_cast<u32>(StateMsr::IA32_FS_BASE)));
    vmcs.write(f::host_gs_base, arch::rdmsr(static_cast<u32>(StateMsr::IA32_GS_BASE)));

    vmcs.write(f::host_ia32_efer, arch::rdmsr(static_cast<u32>(StateMsr::IA32_EFER)));
    if (controls.has_pat) {
        vmcs.write(f::host_ia32_pat, arch::rdmsr(static_cast<u32>(StateMsr::IA32_PAT)));
    }
    vmcs.write(f::host_ia32_sysenter_cs, 0); // the host has no SYSENTER
    vmcs.write(f::host_ia32_sysenter_esp, 0);
    vmcs.write(f::host_ia32_sysenter_eip, 0);
    vmcs.write(f::host_rip, reinterpret_cast<u64>(&hv_vmx_exit_entry));
}
} // namespace hv::vmx
