// SPDX-License-Identifier: Apache-2.0
// The guest's state as the core reads and writes it, and what that means for the VMCB: clean groups, flushes,
// bits kept behind the guest's back.
#include "hv/base/log.hpp"
#include "hv/svm/debug_causes.hpp"
#include "hv/svm/svm_vcpu.hpp"
#include "hv/svm/vmcb_setup.hpp"
#include "hv/svm/world_switch.hpp"

namespace hv::svm {
namespace {
namespace clean = arch::svm::clean;
constexpr u64 kHideable = cr0::kCd | cr0::kNw;
constexpr u16 kAttributes = 0xfff, kLongCode = 1u << 9;
using Dpl = Bits<6, 5>;
} // namespace

void SvmVcpu::advance(u8 instruction_bytes) {
    arch::VmcbState& state = vmcb_.state;
    state.rip += instruction_bytes;
    if ((state.rip >> 32) != 0 &&
        ((state.efer & efer::kLma) == 0 || (state.cs.attributes & kLongCode) == 0)) {
        state.rip = static_cast<u32>(state.rip);
    }
    vmcb_.control.interrupt_state &= ~arch::svm::kInterruptShadow;
    u64 const flags = state.rflags;
    state.rflags = flags & ~rflags::kResume;
    if ((flags & rflags::kTrap) != 0) [[unlikely]] {
        due_causes_ = dr6::kSingleStep;
        pending_ |= kDebugDue;
    }
}

void SvmVcpu::inject(Event const& event) {
    if ((pending_ & kShutdown) != 0) {
        return;
    }
    if ((pending_ & kEvent) == 0) {
        bool const own = event.type == Event::Type::Exception && exit_.kind == ExitKind::Exception &&
                         exit_.exception.vector == event.vector;
        vmcb_.state.rip += own ? exit_.instruction_bytes : 0; // INT1: its handler returns behind it
        waiting_ = event;
        pending_ |= kEvent;
        return;
    }
    HV_ASSERT(event.type == Event::Type::Exception); // can_take_interrupt() and can_take_nmi() said no
    MergedEvent const merged = merge_exception(waiting_, event);
    waiting_ = merged.event;
    if (merged.triple_fault) {
        pending_ = (pending_ & ~u32{kEvent}) | kShutdown;
    }
}

std::optional<Event> SvmVcpu::waiting_event() {
    return (pending_ & kEvent) != 0 ? std::optional{waiting_} : std::nullopt;
}

bool SvmVcpu::can_take_interrupt() {
    return (vmcb_.state.rflags & rflags::kInterrupt) != 0 &&
           (vmcb_.control.interrupt_state & arch::svm::kInterruptShadow) == 0 &&
           (pending_ & (kEvent | kShutdown | kDebugDue)) == 0;
}

bool SvmVcpu::can_take_nmi() {
    if (nmi_ == Nmi::Returning && vmcb_.state.rip != nmi_return_rip_) {
        nmi_ = Nmi::Open; // its IRET has run
    }
    return nmi_ == Nmi::Open && (vmcb_.control.interrupt_state & arch::svm::kInterruptShadow) == 0 &&
           (pending_ & (kEvent | kShutdown | kDebugDue)) == 0;
}

void SvmVcpu::request_interrupt_window(bool wanted) {
    if (wanted == window_wanted_) {
        return;
    }
    window_wanted_ = wanted;
    if (wanted) {
        pending_ |= kWindow;
        return;
    }
    pending_ &= ~u32{kWindow};
    vmcb_.control.interrupt_control &= ~arch::svm::interrupt_control::kVirtualIrq;
    mark_dirty(clean::kInterruptControl);
}

u64 SvmVcpu::read(Reg r) {
    switch (r) {
    case Reg::Rsp: return vmcb_.state.rsp;
    case Reg::Rip: return vmcb_.state.rip;
    case Reg::Rflags: return vmcb_.state.rflags;
    default: return gprs[r];
    }
}

void SvmVcpu::write(Reg r, u64 value) {
    switch (r) {
    case Reg::Rsp: vmcb_.state.rsp = value; break;
    case Reg::Rip: vmcb_.state.rip = value; break;
    case Reg::Rflags: vmcb_.state.rflags = value | rflags::kReserved1; break;
    default: gprs[r] = value; break;
    }
}

arch::VmcbSegment& SvmVcpu::segment(Seg s) {
    arch::VmcbState& state = vmcb_.state;
    switch (s) {
    case Seg::Es: return state.es;
    case Seg::Cs: return state.cs;
    case Seg::Ss: return state.ss;
    case Seg::Ds: return state.ds;
    case Seg::Fs: return state.fs;
    case Seg::Gs: return state.gs;
    case Seg::Ldtr: return state.ldtr;
    case Seg::Tr: break;
    }
    return state.tr;
}

Segment SvmVcpu::read(Seg s) {
    arch::VmcbSegment const& in = segment(s);
    return {in.selector, static_cast<u16>(in.attributes & kAttributes), in.limit, in.base};
}

void SvmVcpu::write(Seg s, Segment const& value) {
    segment(s) = {value.selector, static_cast<u16>(value.attributes & kAttributes), value.limit, value.base};
    if (s == Seg::Ss) { // one processor takes CPL from here, another from its own field
        vmcb_.state.cpl = static_cast<u8>(Dpl::get(value.attributes));
    }
    mark_written(clean::kSegments); // FS, GS, LDTR and TR are loaded by VMLOAD and never cached
}

DescriptorTable SvmVcpu::read_gdtr() {
    return {vmcb_.state.gdtr.base, vmcb_.state.gdtr.limit};
}
DescriptorTable SvmVcpu::read_idtr() {
    return {vmcb_.state.idtr.base, vmcb_.state.idtr.limit};
}
void SvmVcpu::write_gdtr(DescriptorTable const& t) {
    vmcb_.state.gdtr = {0, 0, t.limit, t.base};
    mark_written(clean::kDescriptorTables);
}
void SvmVcpu::write_idtr(DescriptorTable const& t) {
    vmcb_.state.idtr = {0, 0, t.limit, t.base};
    mark_written(clean::kDescriptorTables);
}

u64 SvmVcpu::read(ControlReg r) {
    switch (r) {
    case ControlReg::Cr0: return vmcb_.state.cr0 | hidden_cr0_;
    case ControlReg::Cr2: return vmcb_.state.cr2;
    case ControlReg::Cr3: return vmcb_.state.cr3;
    case ControlReg::Cr4: return vmcb_.state.cr4;
    case ControlReg::Cr8:
    case ControlReg::Xcr0: break;
    }
    panic("CR8 and XCR0 are the core's");
}

// Writing CR0, CR3 or CR4 for the guest must drop the translations that its own MOV would have dropped.
void SvmVcpu::write(ControlReg r, u64 value) {
    switch (r) {
    case ControlReg::Cr0:
        set_hidden_cr0(value & kHideable);
        vmcb_.state.cr0 = (value & ~kHideable) | cr0::kEt;
        derive_lma();
        break;
    case ControlReg::Cr2:
        vmcb_.state.cr2 = value;
        mark_dirty(clean::kCr2);
        return;
    case ControlReg::Cr3: vmcb_.state.cr3 = value; break;
    case ControlReg::Cr4: vmcb_.state.cr4 = value; break;
    case ControlReg::Cr8:
    case ControlReg::Xcr0: panic("CR8 and XCR0 are the core's");
    }
    mark_written(clean::kControlRegisters);
    pending_ |= kFlush;
}

// Guest memory stays cached whatever the guest says. While it believes otherwise its reads must show that,
// and a write that only takes the bits back is no change that the selective intercept would see.
void SvmVcpu::set_hidden_cr0(u64 bits) {
    if (bits == hidden_cr0_) {
        return;
    }
    constexpr u16 kCr0 = 1u << 0;
    hidden_cr0_ = bits;
    arch::VmcbControl& control = vmcb_.control;
    u16 const set = bits != 0 ? kCr0 : u16{0};
    control.intercept_cr_read = static_cast<u16>((control.intercept_cr_read & ~kCr0) | set);
    control.intercept_cr_write = static_cast<u16>((control.intercept_cr_write & ~kCr0) | set);
    mark_dirty(clean::kIntercepts);
}

void SvmVcpu::derive_lma() {
    u64& e = vmcb_.state.efer;
    bool const active = (vmcb_.state.cr0 & cr0::kPg) != 0 && (e & efer::kLme) != 0;
    e = (e & ~efer::kLma) | (active ? efer::kLma : 0);
}

u64& SvmVcpu::state_msr(StateMsr m) {
    arch::VmcbState& state = vmcb_.state;
    switch (m) {
    case StateMsr::IA32_SYSENTER_CS: return state.sysenter_cs;
    case StateMsr::IA32_SYSENTER_ESP: return state.sysenter_esp;
    case StateMsr::IA32_SYSENTER_EIP: return state.sysenter_eip;
    case StateMsr::IA32_PAT: return state.g_pat;
    case StateMsr::IA32_EFER: return state.efer;
    case StateMsr::IA32_STAR: return state.star;
    case StateMsr::IA32_LSTAR: return state.lstar;
    case StateMsr::IA32_CSTAR: return state.cstar;
    case StateMsr::IA32_FMASK: return state.sfmask;
    case StateMsr::IA32_FS_BASE: return state.fs.base;
    case StateMsr::IA32_GS_BASE: return state.gs.base;
    case StateMsr::IA32_KERNEL_GS_BASE: return state.kernel_gs_base;
    }
    panic("not a state MSR");
}

u64 SvmVcpu::read(StateMsr m) {
    u64 const value = state_msr(m);
    return m == StateMsr::IA32_EFER ? value & ~efer::kSvme : value;
}

void SvmVcpu::write(StateMsr m, u64 value) {
    u64& slot = state_msr(m);
    if (m == StateMsr::IA32_EFER) {
        slot = value | efer::kSvme; // VMRUN insists
        derive_lma();
        mark_written(clean::kControlRegisters);
        pending_ |= kFlush;
        return;
    }
    slot = value;
    if (m == StateMsr::IA32_PAT) {
        mark_dirty(clean::kNestedPaging);
        pending_ |= kFlush;
    }
}

// Neither VMRUN nor VMLOAD switches it, and the host has no use for it.
void SvmVcpu::set_tsc_aux(u64 value) {
    tsc_aux_ = value;
    if (machine_.features.rdtscp && (pending_ & kUnloaded) == 0) {
        hv_svm_wrmsr(arch::svm::msr::kTscAux, value);
    }
}

u8 SvmVcpu::cpl() {
    return vmcb_.state.cpl;
}

bool SvmVcpu::in_64bit_code() {
    return (vmcb_.state.efer & efer::kLma) != 0 && (vmcb_.state.cs.attributes & kLongCode) != 0;
}

void SvmVcpu::set_tsc_offset(u64 offset) {
    vmcb_.control.tsc_offset = offset;
    mark_dirty(clean::kIntercepts);
}

void SvmVcpu::clear_interrupt_shadow() {
    vmcb_.control.interrupt_state &= ~arch::svm::kInterruptShadow;
}

void SvmVcpu::intercept_exceptions(u32 vectors) {
    wanted_exceptions_ = vectors & kDefinedExceptions;
    vmcb_.control.intercept_exceptions = kAlwaysInterceptedExceptions | wanted_exceptions_;
    mark_dirty(clean::kIntercepts);
}

void SvmVcpu::report_cr3_writes(bool wanted) {
    constexpr u16 kCr3 = 1u << 3;
    u16& writes = vmcb_.control.intercept_cr_write;
    if (((writes & kCr3) != 0) != wanted) {
        writes ^= kCr3;
        mark_dirty(clean::kIntercepts);
    }
}

void SvmVcpu::reset() {
    set_reset_state(vmcb_.state);
    gprs = {};
    arch::VmcbControl& control = vmcb_.control;
    control.interrupt_state = 0;
    control.interrupt_control &= ~arch::svm::interrupt_control::kVirtualIrq;
    control.event_injection = 0;
    control.intercept_instructions1 &= ~kFlagsIntercepts;
    report_cr3_writes(false);
    control.clean = 0;
    set_hidden_cr0(kHideable); // CR0 is 6000_0010h
    pending_ = (pending_ & kUnloaded) | kFlush | kStateWritten;
    points_ = {};
    set_tsc_aux(0);
    window_wanted_ = false;
    failed_ = last_was_invalid_ = false;
    injected_valid_ = false;
    armed_ = Step::None;
    nmi_ = Nmi::Open;
}

void SvmVcpu::dump() {
    arch::VmcbState const& s = vmcb_.state;
    arch::VmcbControl const& c = vmcb_.control;
    log_error("exit {:x} info {:x} {:x} delivering {:x}; waiting {} vector {:x}", c.exit_code, c.exit_info1,
              c.exit_info2, c.exit_interrupt_info, (pending_ & kEvent) != 0, waiting_.vector);
    log_error("rip {:016x} rsp {:016x} rflags {:x} cpl {} shadow {}{}", s.rip, s.rsp, s.rflags, s.cpl,
              c.interrupt_state & 1, failed_ ? " (as of the last change: VMRUN refused)" : "");
    for (unsigned i = 0; i < kGprCount; i += 4) {
        log_error("r{}.. {:016x} {:016x} {:016x} {:016x}", i, gprs.value[i], gprs.value[i + 1],
                  gprs.value[i + 2], gprs.value[i + 3]);
    }
    log_error("cr0 {:x} (shown {:x}) cr2 {:x} cr3 {:x} cr4 {:x} efer {:x}", s.cr0, s.cr0 | hidden_cr0_, s.cr2,
              s.cr3, s.cr4, s.efer);
    constexpr char const* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    for (unsigned i = 0; i < 8; ++i) {
        arch::VmcbSegment const& g = segment(static_cast<Seg>(i));
        log_error("{:-4} {:04x} attributes {:03x} limit {:08x} base {:x}", kNames[i], g.selector,
                  g.attributes, g.limit, g.base);
    }
    log_error("gdtr {:x}/{:x} idtr {:x}/{:x} dr6 {:x} dr7 {:x} asid {} nested cr3 {:x}", s.gdtr.base,
              s.gdtr.limit, s.idtr.base, s.idtr.limit, s.dr6, s.dr7, c.asid, c.nested_cr3);
}
} // namespace hv::svm
