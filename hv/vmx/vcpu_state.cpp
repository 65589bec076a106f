// SPDX-License-Identifier: Apache-2.0
// The registers of a virtual processor: neutral form on one side, VMCS fields and the live processor on the
// other.
#include "hv/arch/ept.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/vmx/host_state.hpp"
#include "hv/vmx/segments.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
namespace {
namespace f = arch::vmcs;
constexpr u64 kResetPat = 0x0007'0406'0007'0406;
constexpr u64 kNoLinkPointer = ~0ull;
} // namespace

VmxVcpu::VmxVcpu(VmxBackend& backend, HostFrames& frames, VcpuSetup const& setup, void* region)
    : nested_{static_cast<EptTable*>(setup.nested)}, backend_{backend}, frames_{frames}, region_{region} {
    Controls const& c = backend.controls();
    eptp_ = ept::pointer(setup.nested->root().raw, c.ept_accessed_dirty);
    vpid_ = c.has_vpid ? setup.partition_tag : 0;
    primary_ = c.primary;
    *static_cast<u32*>(region) = c.revision;
    HV_ASSERT(arch::vmclear(frames.physical(region)));
}

VmxVcpu::~VmxVcpu() {
    HV_ASSERT(slot_ == nullptr); // unload() first: the processor still writes to the region
}

void VmxVcpu::load() {
    CpuSlot& here = backend_.this_cpu();
    if (here.loaded == this) {
        return;
    }
    if (here.loaded != nullptr) {
        here.loaded->live_.save(backend_.live_msr_count());
    }
    HV_ASSERT(slot_ == nullptr || slot_ == &here);
    HV_ASSERT(arch::vmptrld(frames_.physical(region_)));
    here.loaded = this;
    // The entry stub looks at *kicked through GS, which each exit loads from the VMCS again.
    arch::wrmsr(static_cast<u32>(StateMsr::IA32_GS_BASE), reinterpret_cast<u64>(kicked));
    if (slot_ == nullptr) { // new, or it ran on another processor: this one may hold translations of its past
        slot_ = &here;
        if (fresh_) {
            initialise_vmcs();
        }
        write_host_state(vmcs_, backend_.controls());
        host_rsp_ = 0;
        work_ |= kLaunch | kFlushNested | kFlushLinear;
    }
    if (fresh_) {
        fresh_ = false;
        reset();
    } else {
        live_.restore(backend_.live_msr_count());
        if (breakpoints_.any()) {
            load_debug_registers();
        }
    }
}

void VmxVcpu::unload() {
    if (slot_ == nullptr) {
        return;
    }
    HV_ASSERT(slot_ == &backend_.this_cpu());
    if (slot_->loaded == this) {
        live_.save(backend_.live_msr_count());
        slot_->loaded = nullptr;
    }
    // VMCLEAR writes back what the processor keeps of the VMCS and makes the next entry a VMLAUNCH.
    HV_ASSERT(arch::vmclear(frames_.physical(region_)));
    slot_ = nullptr;
}

/// Everything that does not depend on the guest's state.
void VmxVcpu::initialise_vmcs() {
    Controls const& c = backend_.controls();
    vmcs_.write(f::pin_based_controls, c.pin);
    vmcs_.write(f::primary_controls, primary_);
    vmcs_.write(f::secondary_controls,
                vpid_ != 0 ? c.secondary
                           : c.secondary & ~static_cast<u32>(arch::vmx::secondary::EnableVpid::mask));
    vmcs_.write(f::vm_exit_controls, c.exit);
    vmcs_.write(f::vm_entry_controls, c.entry);
    vmcs_.write(f::vm_exit_msr_store_count, 0);
    vmcs_.write(f::vm_exit_msr_load_count, 0);
    vmcs_.write(f::vm_entry_msr_load_count, 0);
    vmcs_.write(f::cr3_target_count, 0);
    vmcs_.write(f::page_fault_error_code_mask,
                0); // #PF exits exactly if its bit in the exception bitmap is set
    vmcs_.write(f::page_fault_error_code_match, 0);
    vmcs_.write(f::vm_entry_interruption_information, 0);
    vmcs_.write(f::msr_bitmaps, backend_.msr_bitmap());
    vmcs_.write(f::ept_pointer, eptp_);
    vmcs_.write(f::tsc_offset, 0);
    vmcs_.write(f::vmcs_link_pointer, kNoLinkPointer);
    vmcs_.write(f::guest_ia32_debugctl, 0);
    if (vpid_ != 0) {
        vmcs_.write(f::vpid, vpid_);
    }
    if (c.has_timer) {
        vmcs_.write(f::vmx_preemption_timer_value, ~0u);
    }
    vmcs_.write(f::cr0_guest_host_mask, ~kCr0GuestOwned);
    vmcs_.write(f::cr4_guest_host_mask, ~kCr4GuestOwned);
    work_ |= kExceptions;
}

void VmxVcpu::reset() {
    constexpr u32 kRealLimit = 0xffff;
    constexpr u16 kData = 0x93, kLdt = 0x82, kBusyTss = 0x8b;
    constexpr u64 kResetCr0 = 0x6000'0010, kResetRip = 0xfff0;
    for (Seg seg : {Seg::Es, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs}) {
        write(seg, {0, kData, kRealLimit, 0});
    }
    // Type 3 rather than 0xb: what CPUs save for real mode, and exempt from the checks of code segments.
    write(Seg::Cs, {0xf000, kData, kRealLimit, 0xffff'0000});
    write(Seg::Ldtr, {0, kLdt, kRealLimit, 0});
    write(Seg::Tr, {0, kBusyTss, kRealLimit, 0});
    write_gdtr({0, kRealLimit});
    write_idtr({0, kRealLimit});
    report_cr3_writes(false);
    write(ControlReg::Cr0, kResetCr0);
    write(ControlReg::Cr2, 0);
    write(ControlReg::Cr3, 0);
    write(ControlReg::Cr4, 0);
    vmcs_.write(f::guest_pdpte0, 0);
    vmcs_.write(f::guest_pdpte1, 0);
    vmcs_.write(f::guest_pdpte2, 0);
    vmcs_.write(f::guest_pdpte3, 0);
    for (StateMsr msr : {StateMsr::IA32_SYSENTER_CS, StateMsr::IA32_SYSENTER_ESP, StateMsr::IA32_SYSENTER_EIP,
                         StateMsr::IA32_EFER, StateMsr::IA32_STAR, StateMsr::IA32_LSTAR, StateMsr::IA32_CSTAR,
                         StateMsr::IA32_FMASK, StateMsr::IA32_KERNEL_GS_BASE}) {
        write(msr, 0);
    }
    set_tsc_aux(0);
    write(StateMsr::IA32_PAT, kResetPat);
    arm_breakpoints({});
    gprs = {};
    set_rsp(0);
    set_rip(kResetRip);
    set_rflags(rflags::kReserved1);
    set_shadow(0);
    vmcs_.write(f::guest_activity_state, 0); // always active: a halted guest is not entered
    vmcs_.write(f::guest_pending_debug_exceptions, 0);
    pending_ = {};
    debug_due_ = 0;
    step_wanted_ = false;
    work_ &= ~static_cast<u32>(kEvent | kTripleFault | kTrapFlag);
    work_ |= kFlushLinear;
}

u64 VmxVcpu::read(Reg reg) {
    switch (reg) {
    case Reg::Rip: return rip();
    case Reg::Rsp: return rsp();
    case Reg::Rflags: return rflags();
    default: return gprs[reg];
    }
}

void VmxVcpu::write(Reg reg, u64 value) {
    switch (reg) {
    case Reg::Rip: set_rip(value); break;
    case Reg::Rsp: set_rsp(value); break;
    case Reg::Rflags:
        set_rflags((value & 0x3f'7fd7) | rflags::kReserved1);
        // VM entry refuses blocking by STI with interrupts off (SDM vol 3C, "Checks on Guest Non-Register
        // State").
        if ((value & rflags::kInterrupt) == 0) {
            using arch::vmx::interruptibility::BlockingBySti;
            set_shadow(shadow() & ~static_cast<u32>(BlockingBySti::mask));
        }
        break;
    default: gprs[reg] = value; break;
    }
}

Segment VmxVcpu::read(Seg seg) {
    f::SegmentFields const& fields = f::guest_segment[static_cast<u8>(seg)];
    return {vmcs_.read(fields.selector), attributes_of(vmcs_.read(fields.access_rights)),
            vmcs_.read(fields.limit), vmcs_.read(fields.base)};
}

void VmxVcpu::write(Seg seg, Segment const& value) {
    f::SegmentFields const& fields = f::guest_segment[static_cast<u8>(seg)];
    VmxSegment const converted = to_vmcs(seg, value);
    vmcs_.write(fields.selector, value.selector);
    vmcs_.write(fields.access_rights, converted.access_rights);
    vmcs_.write(fields.limit, converted.limit);
    vmcs_.write(fields.base, value.base);
}

DescriptorTable VmxVcpu::read_gdtr() {
    return {vmcs_.read(f::guest_gdtr_base), vmcs_.read(f::guest_gdtr_limit)};
}
DescriptorTable VmxVcpu::read_idtr() {
    return {vmcs_.read(f::guest_idtr_base), vmcs_.read(f::guest_idtr_limit)};
}
void VmxVcpu::write_gdtr(DescriptorTable const& table) {
    vmcs_.write(f::guest_gdtr_base, table.base);
    vmcs_.write(f::guest_gdtr_limit, table.limit & 0xffff);
}
void VmxVcpu::write_idtr(DescriptorTable const& table) {
    vmcs_.write(f::guest_idtr_base, table.base);
    vmcs_.write(f::guest_idtr_limit, table.limit & 0xffff);
}

u64 VmxVcpu::read(ControlReg reg) {
    switch (reg) {
    case ControlReg::Cr0:
        return guest_view(vmcs_.read(f::guest_cr0), vmcs_.read(f::cr0_read_shadow), kCr0GuestOwned);
    case ControlReg::Cr2: return arch::read_cr2();
    case ControlReg::Cr3: return vmcs_.read(f::guest_cr3);
    case ControlReg::Cr4:
        return guest_view(vmcs_.read(f::guest_cr4), vmcs_.read(f::cr4_read_shadow), kCr4GuestOwned);
    case ControlReg::Cr8:
    case ControlReg::Xcr0: break;
    }
    panic("VMX does not hold this control register");
}

void VmxVcpu::write(ControlReg reg, u64 value) {
    Controls const& c = backend_.controls();
    switch (reg) {
    case ControlReg::Cr0:
        vmcs_.write(f::guest_cr0, hardware_cr0(value, c));
        vmcs_.write(f::cr0_read_shadow, value);
        sync_long_mode();
        break;
    case ControlReg::Cr2: arch::write_cr2(value); return;
    case ControlReg::Cr3: vmcs_.write(f::guest_cr3, value); break;
    case ControlReg::Cr4:
        vmcs_.write(f::guest_cr4, hardware_cr4(value, c));
        vmcs_.write(f::cr4_read_shadow, value);
        break;
    case ControlReg::Cr8:
    case ControlReg::Xcr0: panic("VMX does not hold this control register");
    }
    work_ |= kFlushLinear | kLoadPdptes;
}

/// EFER.LMA and the "IA-32e mode guest" control follow EFER.LME and CR0.PG; VM entry insists.
void VmxVcpu::sync_long_mode() {
    u64 const before = vmcs_.read(f::guest_ia32_efer);
    u64 const after = with_lma(before, vmcs_.read(f::guest_cr0));
    if (after != before) {
        vmcs_.write(f::guest_ia32_efer, after);
    }
    u64 const mode = (after & efer::kLma) != 0 ? 1 : 0;
    u32 const entry = vmcs_.read(f::vm_entry_controls);
    vmcs_.write(f::vm_entry_controls,
                static_cast<u32>(arch::vmx::entry_control::Ia32eModeGuest::set(entry, mode)));
}

u64 VmxVcpu::read(StateMsr msr) {
    switch (msr) {
    case StateMsr::IA32_SYSENTER_CS: return vmcs_.read(f::guest_ia32_sysenter_cs);
    case StateMsr::IA32_SYSENTER_ESP: return vmcs_.read(f::guest_ia32_sysenter_esp);
    case StateMsr::IA32_SYSENTER_EIP: return vmcs_.read(f::guest_ia32_sysenter_eip);
    case StateMsr::IA32_PAT: return backend_.controls().has_pat ? vmcs_.read(f::guest_ia32_pat) : pat_;
    case StateMsr::IA32_EFER: return vmcs_.read(f::guest_ia32_efer);
    case StateMsr::IA32_FS_BASE: return vmcs_.read(f::guest_fs_base);
    case StateMsr::IA32_GS_BASE: return vmcs_.read(f::guest_gs_base);
    case StateMsr::IA32_STAR:
    case StateMsr::IA32_LSTAR:
    case StateMsr::IA32_CSTAR:
    case StateMsr::IA32_FMASK:
    case StateMsr::IA32_KERNEL_GS_BASE: return arch::rdmsr(static_cast<u32>(msr));
    }
    panic("not a state MSR");
}

void VmxVcpu::set_tsc_aux(u64 value) {
    if (backend_.controls().has_rdtscp) {
        arch::wrmsr(IA32_TSC_AUX, value);
    }
}

void VmxVcpu::write(StateMsr msr, u64 value) {
    switch (msr) {
    case StateMsr::IA32_SYSENTER_CS: vmcs_.write(f::guest_ia32_sysenter_cs, static_cast<u32>(value)); return;
    case StateMsr::IA32_SYSENTER_ESP: vmcs_.write(f::guest_ia32_sysenter_esp, value); return;
    case StateMsr::IA32_SYSENTER_EIP: vmcs_.write(f::guest_ia32_sysenter_eip, value); return;
    case StateMsr::IA32_PAT:
        if (backend_.controls().has_pat) {
            vmcs_.write(f::guest_ia32_pat, value);
        } else {
            pat_ = value;
        }
        return;
    case StateMsr::IA32_EFER:
        vmcs_.write(f::guest_ia32_efer, value);
        sync_long_mode();
        work_ |= kFlushLinear | kLoadPdptes;
        return;
    case StateMsr::IA32_FS_BASE: vmcs_.write(f::guest_fs_base, value); return;
    case StateMsr::IA32_GS_BASE: vmcs_.write(f::guest_gs_base, value); return;
    case StateMsr::IA32_STAR:
    case StateMsr::IA32_LSTAR:
    case StateMsr::IA32_CSTAR:
    case StateMsr::IA32_FMASK:
    case StateMsr::IA32_KERNEL_GS_BASE: arch::wrmsr(static_cast<u32>(msr), value); return;
    }
    panic("not a state MSR");
}

/// VM entry loads DR7 from the VMCS and each exit makes it 400h, so DR0 to DR3 need not be the host's own
/// (SDM vol 3C, "Loading Guest Debug Registers", "Loading Host Control Registers, Debug Registers, MSRs").
void VmxVcpu::arm_breakpoints(HardwareBreakpoints const& wanted) {
    constexpr u64 kGeneralDetect = 1u << 13; // never in force: MOV DR exits without it
    breakpoints_ = wanted;
    vmcs_.write(f::guest_dr7, wanted.dr7 & ~kGeneralDetect);
    if (wanted.any()) {
        load_debug_registers();
    }
}

void VmxVcpu::load_debug_registers() {
    arch::write_dr<0>(breakpoints_.address[0]);
    arch::write_dr<1>(breakpoints_.address[1]);
    arch::write_dr<2>(breakpoints_.address[2]);
    arch::write_dr<3>(breakpoints_.address[3]);
}

u8 VmxVcpu::cpl() {
    using arch::vmx::access_rights::Dpl;
    u32 const stack = vmcs_.read(f::guest_segment[static_cast<u8>(Seg::Ss)].access_rights);
    return static_cast<u8>(Dpl::get(stack)); // SDM vol 3C, "Guest Register State": SS.DPL is the CPL
}

bool VmxVcpu::in_64bit_code() {
    using arch::vmx::access_rights::Long;
    u32 const code = vmcs_.read(f::guest_segment[static_cast<u8>(Seg::Cs)].access_rights);
    return Long::get(code) != 0 && (vmcs_.read(f::guest_ia32_efer) & efer::kLma) != 0;
}

void VmxVcpu::set_tsc_offset(u64 offset) {
    vmcs_.write(f::tsc_offset, offset);
}

void VmxVcpu::clear_interrupt_shadow() {
    if ((shadow() & kShadowBits) != 0) {
        set_shadow(shadow_ & ~kShadowBits);
    }
}

void VmxVcpu::switch_primary(u64 control, bool on) {
    auto const wanted = static_cast<u32>(on ? primary_ | control : primary_ & ~control);
    if (wanted != primary_) {
        primary_ = wanted;
        work_ |= kControls;
    }
}

void VmxVcpu::intercept_exceptions(u32 vectors) {
    exceptions_ = vectors;
    work_ |= kExceptions;
}

void VmxVcpu::report_cr3_writes(bool wanted) {
    switch_primary(arch::vmx::primary::Cr3LoadExiting::mask, wanted);
}
} // namespace hv::vmx
