// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/init/cpu/interrupts.hpp"

namespace hv::init {
namespace {
constinit bool any_installed = false;

/// CS is only loaded by a far transfer: two pushes and a far return.
void load_code_selector() {
    asm volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
                 :
                 : "i"(kCodeSelector)
                 : "rax", "memory");
}
} // namespace

void install_descriptors(CpuLocal& local) {
    u32 const index = local.cpu.index;
    local.tss.ist[kNmiStack - 1] = stack_of(index, StackKind::Nmi).top;
    local.tss.ist[kDoubleFaultStack - 1] = stack_of(index, StackKind::DoubleFault).top;
    local.tss.ist[kMachineCheckStack - 1] = stack_of(index, StackKind::MachineCheck).top;
    local.tss.io_map_base = sizeof(arch::Tss);
    arch::SystemDescriptor const tss =
        arch::tss_descriptor(reinterpret_cast<u64>(&local.tss), sizeof(arch::Tss) - 1);
    local.gdt[0] = 0;
    local.gdt[kCodeSelector / 8] = arch::kCode64Descriptor;
    local.gdt[kDataSelector / 8] = arch::kDataDescriptor;
    local.gdt[kTssSelector / 8] = tss.low;
    local.gdt[kTssSelector / 8 + 1] = tss.high;

    arch::lgdt({sizeof local.gdt - 1, reinterpret_cast<u64>(local.gdt)});
    load_code_selector();
    arch::write_ss(kDataSelector);
    arch::write_ds(kDataSelector);
    arch::write_es(kDataSelector);
    arch::write_fs(kDataSelector);
    arch::write_gs(kDataSelector);
    arch::lldt(0);
    arch::ltr(kTssSelector);
    load_interrupt_table();
    __atomic_store_n(&any_installed, true, __ATOMIC_RELAXED);
}

CpuLocal* this_cpu() {
    if (!__atomic_load_n(&any_installed, __ATOMIC_RELAXED)) {
        return nullptr;
    }
    // Each CPU has its own GDT, and both vendors' world switches restore GDTR in hardware.
    return reinterpret_cast<CpuLocal*>(arch::sgdt().base - offsetof(CpuLocal, gdt));
}
} // namespace hv::init
