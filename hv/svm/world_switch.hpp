// SPDX-License-Identifier: Apache-2.0
// The few machine operations of this backend that cannot run on a build host. The target's are in
// world_switch.S; unit tests bring a fake processor that models what real ones cache
// (tests/unit/svm/fake_cpu).
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/arch/vmcb.hpp"
#include "hv/core/registers.hpp"

extern "C" {
/// Runs the guest until #VMEXIT. Swaps the general registers with @p gprs (RSP excepted, it lives in the
/// VMCB; RAX is copied to and from the VMCB here), and the state of VMLOAD/VMSAVE on both sides. Call with IF
/// = 0 and GIF = 1, returns the same way; an NMI or SMI that ended the guest has been taken when it returns,
/// a pending external interrupt not yet.
/// @param vmcb         the guest's, and where it is in host-physical memory
/// @param host_vmcb_at host-physical address of this CPU's VMSAVE area
/// @param kicked       looked at when NMIs are held back already: not 0 means do not enter
/// @return 0; 1 when it did not enter because of @p kicked
hv::u32 hv_svm_world_switch(hv::GuestGprs* gprs, hv::arch::Vmcb* vmcb, hv::u64 vmcb_at, hv::u64 host_vmcb_at,
                            hv::u32 const* kicked);

/// The same with breakpoints of the guest's enabled around VMRUN, as closely as it goes.
/// @param dr7 for MOV DR7; it is 400h again on return, as always in the host
hv::u32 hv_svm_world_switch_armed(hv::GuestGprs* gprs, hv::arch::Vmcb* vmcb, hv::u64 vmcb_at,
                                  hv::u64 host_vmcb_at, hv::u32 const* kicked, hv::u64 dr7);

/// Writes DR0 … DR3 of this CPU; DR7 is 400h.
void hv_svm_write_breakpoint_addresses(hv::u64 const (&addresses)[4]);
/// Whether linear @p address lies where this CPU goes or looks when #DB comes while
/// hv_svm_world_switch_armed() has breakpoints enabled: our image, this stack, this GDT. In steps of 2 MiB.
bool hv_svm_is_own_address(hv::u64 address);

/// Stores this CPU's VMLOAD/VMSAVE state (FS, GS, TR, LDTR, KERNEL_GS_BASE, SYSCALL and SYSENTER registers)
/// at a host-physical page.
void hv_svm_save_host_state(hv::u64 host_vmcb_at);

hv::u64 hv_svm_rdmsr(hv::u32 index);
void hv_svm_wrmsr(hv::u32 index, hv::u64 value);
/// @param registers receives EAX, EBX, ECX, EDX
void hv_svm_cpuid(hv::u32 leaf, hv::u32 subleaf, hv::arch::CpuidResult* registers);
hv::u64 hv_svm_read_cr3();
}
