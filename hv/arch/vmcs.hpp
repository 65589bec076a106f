// SPDX-License-Identifier: Apache-2.0
// The fields of a virtual-machine control structure: what each is called, how wide it is, and the number that
// VMREAD and VMWRITE want. Layout only; reading and writing is hv/vmx/current_vmcs.hpp.
#pragma once
#include "hv/base/addr.hpp"

namespace hv::arch {
void vmcs_field_width_mismatch(); // never defined: calling it stops the compiler

/// A VMCS field that holds a T. The encoding carries the width, so a wrong T does not compile.
/// Source: Intel SDM vol 3C, "Field Encoding in VMCS": bits 14:13 are 0 for 16, 1 for 64, 2 for 32 bits and 3
/// for natural width.
template <class T>
struct VmcsField {
    u32 encoding;

    consteval explicit VmcsField(u32 code) : encoding{code} {
        u32 const width = (code >> 13) & 3;
        usize const bytes = width == 0 ? 2 : width == 2 ? 4 : 8;
        if (bytes != sizeof(T)) {
            vmcs_field_width_mismatch();
        }
    }
};
} // namespace hv::arch

/// Intel SDM vol 3D, appendix B, "Field Encoding in VMCS"; in its order, the fields that Ballast uses or
/// dumps.
namespace hv::arch::vmcs {
// ---- B.1.1 16-bit control fields
inline constexpr VmcsField<u16> vpid{0x0000};
// ---- B.1.3 16-bit host-state fields
inline constexpr VmcsField<u16> host_es_selector{0x0c00};
inline constexpr VmcsField<u16> host_cs_selector{0x0c02};
inline constexpr VmcsField<u16> host_ss_selector{0x0c04};
inline constexpr VmcsField<u16> host_ds_selector{0x0c06};
inline constexpr VmcsField<u16> host_fs_selector{0x0c08};
inline constexpr VmcsField<u16> host_gs_selector{0x0c0a};
inline constexpr VmcsField<u16> host_tr_selector{0x0c0c};
// ---- B.2.1 64-bit control fields
inline constexpr VmcsField<Hpa> msr_bitmaps{0x2004};
inline constexpr VmcsField<u64> tsc_offset{0x2010};
inline constexpr VmcsField<u64> ept_pointer{0x201a};
// ---- B.2.2 64-bit read-only data fields
inline constexpr VmcsField<Gpa> guest_physical_address{0x2400};
// ---- B.2.3 64-bit guest-state fields
inline constexpr VmcsField<u64> vmcs_link_pointer{0x2800};
inline constexpr VmcsField<u64> guest_ia32_debugctl{0x2802};
inline constexpr VmcsField<u64> guest_ia32_pat{0x2804};
inline constexpr VmcsField<u64> guest_ia32_efer{0x2806};
inline constexpr VmcsField<u64> guest_pdpte0{0x280a};
inline constexpr VmcsField<u64> guest_pdpte1{0x280c};
inline constexpr VmcsField<u64> guest_pdpte2{0x280e};
inline constexpr VmcsField<u64> guest_pdpte3{0x2810};
// ---- B.2.4 64-bit host-state fields
inline constexpr VmcsField<u64> host_ia32_pat{0x2c00};
inline constexpr VmcsField<u64> host_ia32_efer{0x2c02};
// ---- B.3.1 32-bit control fields
inline constexpr VmcsField<u32> pin_based_controls{0x4000};
inline constexpr VmcsField<u32> primary_controls{0x4002};
inline constexpr VmcsField<u32> exception_bitmap{0x4004};
inline constexpr VmcsField<u32> page_fault_error_code_mask{0x4006};
inline constexpr VmcsField<u32> page_fault_error_code_match{0x4008};
inline constexpr VmcsField<u32> cr3_target_count{0x400a};
inline constexpr VmcsField<u32> vm_exit_controls{0x400c};
inline constexpr VmcsField<u32> vm_exit_msr_store_count{0x400e};
inline constexpr VmcsField<u32> vm_exit_msr_load_count{0x4010};
inline constexpr VmcsField<u32> vm_entry_controls{0x4012};
inline constexpr VmcsField<u32> vm_entry_msr_load_count{0x4014};
inline constexpr VmcsField<u32> vm_entry_interruption_information{0x4016};
inline constexpr VmcsField<u32> vm_entry_exception_error_code{0x4018};
inline constexpr VmcsField<u32> vm_entry_instruction_length{0x401a};
inline constexpr VmcsField<u32> secondary_controls{0x401e};
// ---- B.3.2 32-bit read-only data fields
inline constexpr VmcsField<u32> vm_instruction_error{0x4400};
inline constexpr VmcsField<u32> exit_reason{0x4402};
inline constexpr VmcsField<u32> vm_exit_interruption_information{0x4404};
inline constexpr VmcsField<u32> vm_exit_interruption_error_code{0x4406};
inline constexpr VmcsField<u32> idt_vectoring_information{0x4408};
inline constexpr VmcsField<u32> idt_vectoring_error_code{0x440a};
inline constexpr VmcsField<u32> vm_exit_instruction_length{0x440c};
// ---- B.3.3 32-bit guest-state fields
inline constexpr VmcsField<u32> guest_gdtr_limit{0x4810};
inline constexpr VmcsField<u32> guest_idtr_limit{0x4812};
inline constexpr VmcsField<u32> guest_interruptibility_state{0x4824};
inline constexpr VmcsField<u32> guest_activity_state{0x4826};
inline constexpr VmcsField<u32> guest_ia32_sysenter_cs{0x482a};
inline constexpr VmcsField<u32> vmx_preemption_timer_value{0x482e};
// ---- B.3.4 32-bit host-state field
inline constexpr VmcsField<u32> host_ia32_sysenter_cs{0x4c00};
// ---- B.4.1 natural-width control fields
inline constexpr VmcsField<u64> cr0_guest_host_mask{0x6000};
inline constexpr VmcsField<u64> cr4_guest_host_mask{0x6002};
inline constexpr VmcsField<u64> cr0_read_shadow{0x6004};
inline constexpr VmcsField<u64> cr4_read_shadow{0x6006};
// ---- B.4.2 natural-width read-only data fields
inline constexpr VmcsField<u64> exit_qualification{0x6400};
inline constexpr VmcsField<u64> guest_linear_address{0x640a};
// ---- B.4.3 natural-width guest-state fields
inline constexpr VmcsField<u64> guest_cr0{0x6800};
inline constexpr VmcsField<u64> guest_cr3{0x6802};
inline constexpr VmcsField<u64> guest_cr4{0x6804};
inline constexpr VmcsField<u64> guest_fs_base{0x680e};
inline constexpr VmcsField<u64> guest_gs_base{0x6810};
inline constexpr VmcsField<u64> guest_gdtr_base{0x6816};
inline constexpr VmcsField<u64> guest_idtr_base{0x6818};
inline constexpr VmcsField<u64> guest_dr7{0x681a};
inline constexpr VmcsField<u64> guest_rsp{0x681c};
inline constexpr VmcsField<u64> guest_rip{0x681e};
inline constexpr VmcsField<u64> guest_rflags{0x6820};
inline constexpr VmcsField<u64> guest_pending_debug_exceptions{0x6822};
inline constexpr VmcsField<u64> guest_ia32_sysenter_esp{0x6824};
inline constexpr VmcsField<u64> guest_ia32_sysenter_eip{0x6826};
// ---- B.4.4 natural-width host-state fields
inline constexpr VmcsField<u64> host_cr0{0x6c00};
inline constexpr VmcsField<u64> host_cr3{0x6c02};
inline constexpr VmcsField<u64> host_cr4{0x6c04};
inline constexpr VmcsField<u64> host_fs_base{0x6c06};
inline constexpr VmcsField<u64> host_gs_base{0x6c08};
inline constexpr VmcsField<u64> host_tr_base{0x6c0a};
inline constexpr VmcsField<u64> host_gdtr_base{0x6c0c};
inline constexpr VmcsField<u64> host_idtr_base{0x6c0e};
inline constexpr VmcsField<u64> host_ia32_sysenter_esp{0x6c10};
inline constexpr VmcsField<u64> host_ia32_sysenter_eip{0x6c12};
inline constexpr VmcsField<u64> host_rsp{0x6c14};
inline constexpr VmcsField<u64> host_rip{0x6c16};

/// The four fields of one guest segment register.
struct SegmentFields {
    VmcsField<u16> selector;
    VmcsField<u32> limit;
    VmcsField<u32> access_rights;
    VmcsField<u64> base;
};
/// ES, CS, SS, DS, FS, GS, LDTR, TR: the order of the encodings, and of hv::Seg.
inline constexpr SegmentFields guest_segment[] = {
    {VmcsField<u16>{0x0800}, VmcsField<u32>{0x4800}, VmcsField<u32>{0x4814}, VmcsField<u64>{0x6806}}, // ES
    {VmcsField<u16>{0x0802}, VmcsField<u32>{0x4802}, VmcsField<u32>{0x4816}, VmcsField<u64>{0x6808}}, // CS
    {VmcsField<u16>{0x0804}, VmcsField<u32>{0x4804}, VmcsField<u32>{0x4818}, VmcsField<u64>{0x680a}}, // SS
    {VmcsField<u16>{0x0806}, VmcsField<u32>{0x4806}, VmcsField<u32>{0x481a}, VmcsField<u64>{0x680c}}, // DS
    {VmcsField<u16>{0x0808}, VmcsField<u32>{0x4808}, VmcsField<u32>{0x481c}, VmcsField<u64>{0x680e}}, // FS
    {VmcsField<u16>{0x080a}, VmcsField<u32>{0x480a}, VmcsField<u32>{0x481e}, VmcsField<u64>{0x6810}}, // GS
    {VmcsField<u16>{0x080c}, VmcsField<u32>{0x480c}, VmcsField<u32>{0x4820}, VmcsField<u64>{0x6812}}, // LDTR
    {VmcsField<u16>{0x080e}, VmcsField<u32>{0x480e}, VmcsField<u32>{0x4822}, VmcsField<u64>{0x6814}}, // TR
};
static_assert(guest_segment[7].selector.encoding == 0x080e);
static_assert(guest_segment[4].base.encoding == guest_fs_base.encoding);
} // namespace hv::arch::vmcs
