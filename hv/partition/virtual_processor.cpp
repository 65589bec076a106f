// SPDX-License-Identifier: Apache-2.0
#include "hv/partition/virtual_processor.hpp"
#include "hv/partition/guest.hpp"

namespace hv::partition {
VirtualProcessor::VirtualProcessor(Setup const& s)
    : guest_{*s.guest},
      host_{*s.host},
      hw_{*s.hardware},
      index_{s.index},
      cpuid_{s.cpuid},
      apic_{s.apic, *s.fabric, *s.clock},
      fpu_{s.fpu_area} {
    hw_.lengths = &lengths_;
    s.fabric->add(apic_);
}

void VirtualProcessor::reset() {
    hw_.reset();
    apic_.reset();
    fpu_.reset();
    if (loaded_) {
        host_.load_fpu(fpu_);
    }
    msrs_.reset();
    cpuid_.set_osxsave(false);
    cpuid_.set_xcr0(1);
    cpuid_.set_apic_enabled(true);
    debug_registers_ = {};
    dr6_ = 0xffff'0ff0;
    halted_ = dead_halt_ = leave_loop_ = interrupt_window_ = nmi_pending_ = false;
    tsc_aux_ = 0;
    attention_ = timers_changed_ = true;
    next_timer_tsc_ = kNever;
}

void VirtualProcessor::set_tsc_offset(u64 offset) {
    apic_.tsc_moves(offset - tsc_offset_);
    tsc_offset_ = offset;
    hw_.set_tsc_offset(offset);
    guest_.tsc_written(offset);
    timers_changed();
}

void VirtualProcessor::shift_tsc(u64 offset) {
    tsc_offset_ = offset;
    hw_.set_tsc_offset(offset);
    timers_changed();
}

void VirtualProcessor::enter_at(EntryState const& entry) {
    // Flat segments as the boot protocols ask (Linux "64-bit Boot Protocol", PVH and multiboot "Machine
    // state").
    bool const long_mode = entry.mode == EntryState::Mode::Long64;
    constexpr u16 kCode64 = 0xa9b, kCode32 = 0xc9b, kData = 0xc93, kBusyTss32 = 0x8b, kNotPresent = 0;
    hw_.write(Seg::Cs, {0x10, long_mode ? kCode64 : kCode32, 0xffff'ffff, 0});
    for (Seg s : {Seg::Ds, Seg::Es, Seg::Ss, Seg::Fs, Seg::Gs}) {
        hw_.write(s, {0x18, kData, 0xffff'ffff, 0});
    }
    hw_.write(Seg::Tr, {0, kBusyTss32, 0x67, 0});
    hw_.write(Seg::Ldtr, {0, kNotPresent, 0, 0});
    hw_.write_gdtr({entry.gdt.raw, entry.gdt_limit});
    hw_.write_idtr({0, 0});
    if (long_mode) {
        hw_.write(ControlReg::Cr3, entry.cr3);
        hw_.write(ControlReg::Cr4, cr4::kPae);
        hw_.write(StateMsr::IA32_EFER, efer::kLme);
        hw_.write(ControlReg::Cr0, cr0::kPe | cr0::kEt | cr0::kNe | cr0::kPg);
    } else {
        hw_.write(ControlReg::Cr0, cr0::kPe | cr0::kEt | cr0::kNe);
    }
    hw_.write(Reg::Rflags, rflags::kReserved1);
    hw_.write(Reg::Rip, entry.rip);
    hw_.write(Reg::Rsp, 0);
    hw_.write(Reg::Rax, entry.rax);
    hw_.write(Reg::Rbx, entry.rbx);
    hw_.write(Reg::Rsi, entry.rsi);
}

void VirtualProcessor::load(Cpu& cpu) {
    if (loaded_) {
        return;
    }
    hw_.kicked = &cpu.kicked;
    hw_.load();
    host_.load_fpu(fpu_);
    loaded_ = true;
}

void VirtualProcessor::leave(Cpu&) {
    if (!loaded_) {
        return;
    }
    host_.save_fpu(fpu_);
    hw_.unload();
    loaded_ = false;
}

void VirtualProcessor::begin_slice(Cpu& cpu, u64 until_tsc) {
    load(cpu);
    slice_end_tsc_ = until_tsc;
    leave_loop_ = false;
    attention_ = attention_ || halted_;
}

void VirtualProcessor::run(Cpu& cpu, u64 until_tsc) {
    begin_slice(cpu, until_tsc);
    while (!leave_loop_) {
        if (attention_) [[unlikely]] {
            attend(host_.now_tsc());
        }
        if (halted_) {
            return;
        }
        u64 const deadline = slice_end_tsc_ < next_timer_tsc_ ? slice_end_tsc_ : next_timer_tsc_;
        host_.arm_timer(cpu, deadline);
        Exit const& exit = hw_.run(deadline);
        handle(exit.kind == ExitKind::Cpuid ? answer_cpuid(exit, deadline) : exit, cpu);
    }
}

void VirtualProcessor::attend(u64 now_tsc) {
    attention_ = false;
    if (timers_changed_ || now_tsc >= next_timer_tsc_) {
        fire_timers(now_tsc);
        next_timer_tsc_ = next_timer(now_tsc);
        timers_changed_ = false;
    }
    deliver_interrupts();
}

void VirtualProcessor::deliver_interrupts() {
    bool wanted = false;
    if (nmi_pending_ && hw_.can_take_nmi()) {
        nmi_pending_ = false;
        halted_ = dead_halt_ = false;
        hw_.inject(
            {.type = Event::Type::Nmi, .vector = vector::kNmi, .has_error_code = false, .error_code = 0});
    }
    if (apic_.has_deliverable()) {
        halted_ = halted_ && (hw_.read(Reg::Rflags) & rflags::kInterrupt) == 0;
        if (hw_.can_take_interrupt()) {
            u8 const vector = apic_.acknowledge();
            if (guest_.hyperv().auto_eoi(index_, vector)) {
                apic_.eoi(); // the guest will not
            }
            hw_.inject(
                {.type = Event::Type::External, .vector = vector, .has_error_code = false, .error_code = 0});
            ++counters_.interrupts_injected;
            wanted = apic_.has_deliverable();
        } else {
            wanted = true;
        }
    }
    if (wanted != interrupt_window_) {
        hw_.request_interrupt_window(wanted);
        interrupt_window_ = wanted;
    }
}

void VirtualProcessor::fire_timers(u64 now_tsc) {
    apic_.on_time(now_tsc + tsc_offset_);
    guest_.fire_timers(index_, now_tsc);
    // What they raised is delivered by the caller.
    attention_ = false;
}

u64 VirtualProcessor::next_timer(u64 now_tsc) const {
    u64 const apic = host_deadline(apic_.next_deadline(), now_tsc + tsc_offset_, now_tsc);
    u64 const others = guest_.next_timer_tsc(index_);
    return apic < others ? apic : others;
}

void VirtualProcessor::hold_interrupts() {
    if (interrupt_window_) {
        hw_.request_interrupt_window(false);
        interrupt_window_ = false;
    }
    attention_ = true;
}

Exit const& VirtualProcessor::enter(Cpu& cpu, bool mind_timers) {
    u64 const deadline = mind_timers && next_timer_tsc_ < slice_end_tsc_ ? next_timer_tsc_ : slice_end_tsc_;
    host_.arm_timer(cpu, deadline);
    return hw_.run(deadline);
}

std::span<u8> VirtualProcessor::fpu_image() {
    HV_ASSERT(loaded_);
    host_.save_fpu(fpu_);
    host_.load_fpu(fpu_); // saving has widened XCR0
    return fpu_.area();
}

void VirtualProcessor::fpu_changed() {
    HV_ASSERT(loaded_);
    host_.load_fpu(fpu_);
}

void VirtualProcessor::dump() {
    hw_.dump();
}
} // namespace hv::partition
