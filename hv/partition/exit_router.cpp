// SPDX-License-Identifier: Apache-2.0
// The way of an exit: VirtVcpu::run() hands over a neutral Exit, handle() gives it to one handler, the loop
// in VirtualProcessor::run() enters again. CPUID, the exit that everybody counts, is answered on the way.
#include "hv/base/log.hpp"
#include "hv/partition/guest.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::partition {
namespace {
constexpr u32 kXsaveLeaf = 0xd; // its answer depends on XCR0
}

[[gnu::always_inline]] inline void VirtualProcessor::on_cpuid() {
    u32 const leaf = static_cast<u32>(hw_.gprs[Reg::Rax]);
    if (!CpuidPolicy::plain(leaf) && leaf == kXsaveLeaf) [[unlikely]] {
        cpuid_.set_xcr0(host_.guest_xcr0());
    }
    CpuidRegs const& r = cpuid_.query(leaf, static_cast<u32>(hw_.gprs[Reg::Rcx]));
    hw_.gprs[Reg::Rax] = r.eax;
    hw_.gprs[Reg::Rbx] = r.ebx;
    hw_.gprs[Reg::Rcx] = r.ecx;
    hw_.gprs[Reg::Rdx] = r.edx;
}

/// Answers a CPUID and enters again, until something else exits. CPUID moves no timer, wakes nobody and
/// leaves no work behind, so what the caller looked at before the first entry still holds.
Exit const& VirtualProcessor::answer_cpuid(Exit const& first, u64 deadline_tsc) {
    Exit const* exit = &first;
    do {
        ++counters_.exits[static_cast<u32>(ExitKind::Cpuid)];
        on_cpuid();
        skip(*exit);
        exit = &hw_.run(deadline_tsc);
    } while (exit->kind == ExitKind::Cpuid);
    return *exit;
}

void VirtualProcessor::handle(Exit const& exit, Cpu& cpu) {
    ++counters_.exits[static_cast<u32>(exit.kind)];
    switch (exit.kind) {
    case ExitKind::Cpuid: return; // answer_cpuid() did it
    case ExitKind::HostEvent: mind_host(cpu); return;
    case ExitKind::MsrRead: on_msr_read(exit); return;
    case ExitKind::MsrWrite: on_msr_write(exit); return;
    case ExitKind::NestedFault: on_nested_fault(exit); return;
    case ExitKind::Io: on_io(exit); return;
    case ExitKind::InterruptWindow:
        interrupt_window_ = true; // the backend closed it; deliver_interrupts() says what comes next
        attention_ = true;
        return;
    case ExitKind::Halt: on_halt(exit); return;
    case ExitKind::Hypercall: on_hypercall(exit); return;
    case ExitKind::ControlRegister: on_control_register(exit); return;
    case ExitKind::DebugRegister: on_debug_register(exit); return;
    case ExitKind::Xsetbv: on_xsetbv(exit); return;
    case ExitKind::CacheControl: skip(exit); return; // all of a guest's memory is write-back and coherent
    case ExitKind::InvalidOpcode: raise_exception(vector::kInvalidOpcode); return;
    case ExitKind::Exception:
        on_exception(exit);
        // Its delivery may raise the next one and exit before the processor looks at interrupts or the timer,
        // for ever (CVE-2015-8104).
        mind_host(cpu);
        return;
    case ExitKind::SingleStep: return;
    case ExitKind::TripleFault:
        ++counters_.triple_faults;
        guest_.fail("triple fault");
        return;
    case ExitKind::EntryFailed: stop_for(exit, "the processor refused the virtual processor's state"); return;
    case ExitKind::Unknown: stop_for(exit, "an exit nobody knows"); return;
    }
}

void VirtualProcessor::skip_unknown_length(Exit const& exit) {
    VcpuView view{hw_};
    auto const at = decode::code_address(view, exit.kind, guest_.nested().generation());
    auto const length = lengths_.length(view, guest_.memory(), at);
    if (length.ok()) {
        hw_.advance(length.value());
    } else {
        fail(length.error());
    }
}

void VirtualProcessor::answer(Exit const& exit, Cpu& cpu) {
    if (exit.kind == ExitKind::Cpuid) {
        on_cpuid();
        skip(exit);
    }
    handle(exit, cpu);
}

void VirtualProcessor::mind_host(Cpu& cpu) {
    host_.take_interrupts(cpu);
    u64 const now = host_.now_tsc();
    if (now >= next_timer_tsc_) {
        attention_ = true;
    }
    if (now >= slice_end_tsc_ || cpu.kicked != 0) {
        leave_loop_ = true;
    }
}

void VirtualProcessor::on_hypercall(Exit const& exit) {
    if (hw_.cpl() != 0 || (hw_.read(ControlReg::Cr0) & cr0::kPe) == 0) {
        raise_exception(vector::kInvalidOpcode);
        return;
    }
    VcpuView view{hw_};
    bool const long_mode = code_mode(view).code_bits == 64;
    hypercall_refused_ = false;
    guest_.hypercall(long_mode);
    if (hypercall_refused_) {
        raise_exception(vector::kInvalidOpcode);
        return;
    }
    skip(exit);
    attention_ = true;
}

void VirtualProcessor::on_halt(Exit const& exit) {
    skip(exit);
    halted_ = true;
    dead_halt_ = (hw_.read(Reg::Rflags) & rflags::kInterrupt) == 0;
    attention_ = true; // an interrupt that waits ends the halt at once
}

void VirtualProcessor::on_xsetbv(Exit const& exit) {
    u64 const value = hw_.gprs[Reg::Rdx] << 32 | (hw_.gprs[Reg::Rax] & 0xffff'ffff);
    u64 const index = hw_.gprs[Reg::Rcx] & 0xffff'ffff;
    if ((hw_.read(ControlReg::Cr4) & cr4::kOsxsave) == 0) {
        raise_exception(vector::kInvalidOpcode);
        return;
    }
    if (hw_.cpl() != 0 || index != 0 || !xcr0_write_allowed(value, cpuid_.allowed_xcr0())) {
        ++counters_.refused_writes;
        raise_gp();
        return;
    }
    fpu_.xcr0 = value;
    host_.set_guest_xcr0(value);
    cpuid_.set_xcr0(value);
    skip(exit);
}

void VirtualProcessor::on_exception(Exit const& exit) {
    ExceptionExit const& e = exit.exception;
    if (e.vector == vector::kMachineCheck) { // the host's, and nothing here could tell what is lost
        panic("machine check while a guest ran");
    }
    if (e.vector == vector::kDebug) {
        raise_debug(e.address);
        return;
    }
    // The debugger asked to see it while it stepped.
    raise_fault({{Event::Type::Exception, e.vector, e.has_error_code, e.error_code},
                 e.vector == vector::kPageFault,
                 e.address});
}

/// #DB as the processor delivers it: causes into DR6, general detection off (SDM vol 3B, "Debug Status
/// Register (DR6)", "Debug Control Register (DR7)").
void VirtualProcessor::raise_debug(u64 causes) {
    constexpr u64 kBreakpoints = 0xf, kGeneralDetect = 1u << 13;
    dr6_ = (dr6_ & ~kBreakpoints) | causes;
    debug_registers_.dr7 &= ~kGeneralDetect;
    raise_exception(vector::kDebug);
}

void VirtualProcessor::raise_fault(GuestFault const& fault) {
    if (fault.sets_cr2) {
        hw_.write(ControlReg::Cr2, fault.cr2);
    }
    hw_.inject(fault.event);
}

void VirtualProcessor::fail(EmulationFailure const& failure) {
    switch (failure.kind) {
    case EmulationFailure::Kind::Fault: raise_fault(failure.fault); return;
    case EmulationFailure::Kind::Memory: raise_gp(); return;
    case EmulationFailure::Kind::Unsupported:
        ++counters_.emulation_failures;
        raise_exception(vector::kInvalidOpcode);
        return;
    }
}

void VirtualProcessor::stop_for(Exit const& exit, char const* why) {
    log_error("partition {}: {} (code {:x}, info {:x})", guest_.name(), why, exit.unknown.code,
              exit.unknown.info);
    hw_.dump();
    guest_.fail(why);
}

ControlState VirtualProcessor::control_state() {
    return {.cr0 = hw_.read(ControlReg::Cr0),
            .cr3 = hw_.read(ControlReg::Cr3),
            .cr4 = hw_.read(ControlReg::Cr4),
            .efer = hw_.read(StateMsr::IA32_EFER),
            .cs_long = (hw_.read(Seg::Cs).attributes & segment::kLong) != 0};
}
} // namespace hv::partition
