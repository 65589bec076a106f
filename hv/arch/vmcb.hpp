// SPDX-License-Identifier: Apache-2.0
// The virtual machine control block of AMD's SVM, in the order of the manual's tables. Layout only: compiles
// on any machine.
#pragma once
#include "hv/base/types.hpp"
#include <cstddef>

namespace hv::arch {
/// AMD APM vol 2, appendix B, table "VMCB Layout, Control Area".
struct VmcbControl {
    u16 intercept_cr_read;       ///< bit n = CRn
    u16 intercept_cr_write;      ///<
    u16 intercept_dr_read;       ///< bit n = DRn
    u16 intercept_dr_write;      ///<
    u32 intercept_exceptions;    ///< bit n = vector n
    u32 intercept_instructions1; ///< svm::intercept1
    u32 intercept_instructions2; ///< svm::intercept2
    u32 intercept_instructions3; ///< svm::intercept3
    u8 reserved_018[0x24];
    u16 pause_filter_threshold;
    u16 pause_filter_count;
    u64 iopm_base;   ///< host physical, 12 KiB
    u64 msrpm_base;  ///< host physical, 8 KiB
    u64 tsc_offset;  ///< guest TSC = host TSC + this
    u32 asid;        ///< never 0
    u32 tlb_control; ///< svm::TlbControl
    u64 interrupt_control;
    u64 interrupt_state; ///< bit 0: the guest is in an interrupt shadow
    u64 exit_code;
    u64 exit_info1;
    u64 exit_info2;
    u64 exit_interrupt_info;
    u64 nested_control; ///< bit 0: nested paging
    u64 avic_apic_bar;
    u64 ghcb;
    u64 event_injection;
    u64 nested_cr3;
    u64 virtualization_control; ///< bit 0: LBR, bit 1: virtual VMLOAD/VMSAVE
    u32 clean;                  ///< svm::clean: groups unchanged since the last VMRUN here
    u32 reserved_0c4;
    u64 next_rip;
    u8 fetched_bytes;
    u8 instruction_bytes[15];
    u64 avic_backing_page;
    u64 reserved_0e8;
    u64 avic_logical_table;
    u64 avic_physical_table;
    u8 reserved_100[0x300];
};
static_assert(sizeof(VmcbControl) == 0x400);
static_assert(offsetof(VmcbControl, intercept_exceptions) == 0x008);
static_assert(offsetof(VmcbControl, intercept_instructions1) == 0x00c);
static_assert(offsetof(VmcbControl, pause_filter_threshold) == 0x03c);
static_assert(offsetof(VmcbControl, iopm_base) == 0x040);
static_assert(offsetof(VmcbControl, tsc_offset) == 0x050);
static_assert(offsetof(VmcbControl, asid) == 0x058);
static_assert(offsetof(VmcbControl, tlb_control) == 0x05c);
static_assert(offsetof(VmcbControl, interrupt_control) == 0x060);
static_assert(offsetof(VmcbControl, interrupt_state) == 0x068);
static_assert(offsetof(VmcbControl, exit_code) == 0x070);
static_assert(offsetof(VmcbControl, exit_interrupt_info) == 0x088);
static_assert(offsetof(VmcbControl, nested_control) == 0x090);
static_assert(offsetof(VmcbControl, event_injection) == 0x0a8);
static_assert(offsetof(VmcbControl, nested_cr3) == 0x0b0);
static_assert(offsetof(VmcbControl, virtualization_control) == 0x0b8);
static_assert(offsetof(VmcbControl, clean) == 0x0c0);
static_assert(offsetof(VmcbControl, next_rip) == 0x0c8);
static_assert(offsetof(VmcbControl, fetched_bytes) == 0x0d0);
static_assert(offsetof(VmcbControl, avic_backing_page) == 0x0e0);
static_assert(offsetof(VmcbControl, avic_physical_table) == 0x0f8);

/// A segment register, hidden part included. The attributes are hv::Segment's packed form.
struct VmcbSegment {
    u16 selector;
    u16 attributes;
    u32 limit;
    u64 base;
};
static_assert(sizeof(VmcbSegment) == 16);

/// AMD APM vol 2, appendix B, table "VMCB Layout, State Save Area". FS, GS, TR, LDTR, KERNEL_GS_BASE and the
/// SYSCALL and SYSENTER registers are moved by VMLOAD and VMSAVE, the rest by VMRUN and #VMEXIT.
struct VmcbState {
    VmcbSegment es, cs, ss, ds, fs, gs;
    VmcbSegment gdtr; ///< base and limit only
    VmcbSegment ldtr;
    VmcbSegment idtr; ///< base and limit only
    VmcbSegment tr;
    u8 reserved_0a0[0x2b];
    u8 cpl;
    u32 reserved_0cc;
    u64 efer;
    u8 reserved_0d8[0x70];
    u64 cr4, cr3, cr0;
    u64 dr7, dr6;
    u64 rflags, rip;
    u8 reserved_180[0x58];
    u64 rsp;
    u64 s_cet, ssp, isst_addr;
    u64 rax;
    u64 star, lstar, cstar, sfmask;
    u64 kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 cr2;
    u8 reserved_248[0x20];
    u64 g_pat;
    u64 debugctl;
    u64 branch_from, branch_to;
    u64 last_exception_from, last_exception_to;
};
static_assert(offsetof(VmcbState, cs) == 0x010);
static_assert(offsetof(VmcbState, gdtr) == 0x060);
static_assert(offsetof(VmcbState, tr) == 0x090);
static_assert(offsetof(VmcbState, cpl) == 0x0cb);
static_assert(offsetof(VmcbState, efer) == 0x0d0);
static_assert(offsetof(VmcbState, cr4) == 0x148);
static_assert(offsetof(VmcbState, cr0) == 0x158);
static_assert(offsetof(VmcbState, rflags) == 0x170);
static_assert(offsetof(VmcbState, rip) == 0x178);
static_assert(offsetof(VmcbState, rsp) == 0x1d8);
static_assert(offsetof(VmcbState, rax) == 0x1f8);
static_assert(offsetof(VmcbState, star) == 0x200);
static_assert(offsetof(VmcbState, kernel_gs_base) == 0x220);
static_assert(offsetof(VmcbState, cr2) == 0x240);
static_assert(offsetof(VmcbState, g_pat) == 0x268);
static_assert(offsetof(VmcbState, last_exception_to) == 0x290);

struct alignas(4096) Vmcb {
    VmcbControl control;
    VmcbState state;
    u8 reserved[0x1000 - sizeof(VmcbControl) - sizeof(VmcbState)];
};
static_assert(sizeof(Vmcb) == 4096);
static_assert(offsetof(Vmcb, state) == 0x400);
} // namespace hv::arch
