// SPDX-License-Identifier: Apache-2.0
// RDMSR and WRMSR. Order: the virtual APIC (the interrupt path), the Hyper-V registers (timers, end of
// message), what the hardware holds, plain storage. What nobody has is #GP, as on a processor.
#include "hv/partition/guest.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::partition {
namespace {
constexpr u32 kTsc = 0x10, kApicBase = 0x1b, kTscDeadline = 0x6e0, kFirstApic = 0x800, kLastApic = 0x8ff,
              kApicEoi = 0x80b, kTscAux = 0xc000'0103;
constexpr u32 kFirstSynthetic = 0x4000'0000, kLastSynthetic = 0x4000'ffff;

bool is_state_msr(u32 index) {
    switch (static_cast<StateMsr>(index)) {
    case StateMsr::IA32_SYSENTER_CS:
    case StateMsr::IA32_SYSENTER_ESP:
    case StateMsr::IA32_SYSENTER_EIP:
    case StateMsr::IA32_PAT:
    case StateMsr::IA32_EFER:
    case StateMsr::IA32_STAR:
    case StateMsr::IA32_LSTAR:
    case StateMsr::IA32_CSTAR:
    case StateMsr::IA32_FMASK:
    case StateMsr::IA32_FS_BASE:
    case StateMsr::IA32_GS_BASE:
    case StateMsr::IA32_KERNEL_GS_BASE: return true;
    }
    return false;
}

bool holds_address(StateMsr msr) {
    return msr == StateMsr::IA32_SYSENTER_ESP || msr == StateMsr::IA32_SYSENTER_EIP ||
           msr == StateMsr::IA32_LSTAR || msr == StateMsr::IA32_CSTAR || msr == StateMsr::IA32_FS_BASE ||
           msr == StateMsr::IA32_GS_BASE || msr == StateMsr::IA32_KERNEL_GS_BASE;
}

/// Each byte a memory type: SDM vol 3A, "IA32_PAT MSR".
bool valid_pat(u64 value) {
    for (unsigned i = 0; i < 8; ++i) {
        u64 const type = value >> (8 * i) & 0xff;
        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}
} // namespace

void VirtualProcessor::on_msr_read(Exit const& exit) {
    u64 value = 0;
    if (!read_msr(static_cast<u32>(hw_.gprs[Reg::Rcx]), value)) {
        ++counters_.unknown_msrs;
        raise_gp();
        return;
    }
    hw_.gprs[Reg::Rax] = value & 0xffff'ffff;
    hw_.gprs[Reg::Rdx] = value >> 32;
    skip(exit);
}

void VirtualProcessor::on_msr_write(Exit const& exit) {
    u64 const value = hw_.gprs[Reg::Rdx] << 32 | (hw_.gprs[Reg::Rax] & 0xffff'ffff);
    if (!write_msr(static_cast<u32>(hw_.gprs[Reg::Rcx]), value)) {
        ++counters_.unknown_msrs;
        raise_gp();
        return;
    }
    skip(exit);
}

bool VirtualProcessor::read_msr(u32 index, u64& value) {
    if (index >= kFirstApic && index <= kLastApic) {
        return apic_.read_msr(index, value);
    }
    if (index >= kFirstSynthetic && index <= kLastSynthetic) {
        return guest_.read_synthetic_msr(index_, index, value);
    }
    switch (index) {
    case kTsc: value = host_.now_tsc() + tsc_offset_; return true;
    case kApicBase: value = apic_.apic_base(); return true;
    case kTscDeadline: value = apic_.read_tsc_deadline(); return true;
    case kTscAux: value = tsc_aux_; return true;
    default: break;
    }
    if (is_state_msr(index)) {
        value = hw_.read(static_cast<StateMsr>(index));
        return true;
    }
    auto const stored = msrs_.read(index);
    if (stored) {
        value = *stored;
    }
    return stored.has_value();
}

bool VirtualProcessor::write_msr(u32 index, u64 value) {
    if (index >= kFirstApic && index <= kLastApic) {
        timers_changed_ = timers_changed_ || index != kApicEoi; // the commonest changes none
        attention_ = true;
        return apic_.write_msr(index, value);
    }
    if (index >= kFirstSynthetic && index <= kLastSynthetic) {
        timers_changed();
        return guest_.write_synthetic_msr(index_, index, value);
    }
    switch (index) {
    case kTsc: set_tsc_offset(value - host_.now_tsc()); return true;
    case kApicBase:
        if (!apic_.write_apic_base(value)) {
            return false;
        }
        cpuid_.set_apic_enabled(apic_.enabled());
        timers_changed();
        return true;
    case kTscDeadline:
        apic_.write_tsc_deadline(value);
        timers_changed();
        return true;
    case kTscAux:
        if ((value >> 32) != 0) {
            return false;
        }
        tsc_aux_ = value;
        hw_.set_tsc_aux(value);
        return true;
    default: break;
    }
    if (is_state_msr(index)) {
        return write_state_msr(static_cast<StateMsr>(index), value);
    }
    return msrs_.write(index, value);
}

bool VirtualProcessor::write_state_msr(StateMsr msr, u64 value) {
    if (msr == StateMsr::IA32_EFER) {
        ControlState const state = control_state();
        if (!efer_write_allowed(state, value, cpuid_.allowed_efer())) {
            return false;
        }
        value = efer_after_write(state, value);
    }
    if (msr == StateMsr::IA32_PAT && !valid_pat(value)) {
        return false;
    }
    if (holds_address(msr) && !is_canonical(value)) {
        return false;
    }
    hw_.write(msr, value);
    return true;
}
} // namespace hv::partition
