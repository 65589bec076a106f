// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/vmx/fake_cpu.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/arch/ops/vmx_ops.hpp"
#include "hv/vmx/world_switch.hpp"
#include <catch2/catch.hpp>

namespace hv::test {
namespace {
namespace f = arch::vmcs;
namespace interruption = arch::vmx::interruption;
namespace debug = arch::vmx::debug_exit;
using namespace arch::vmx;
constexpr u64 kShadow = interruptibility::BlockingBySti::mask | interruptibility::BlockingByMovSs::mask;
constexpr u32 kGsBase = static_cast<u32>(StateMsr::IA32_GS_BASE);
} // namespace

FakeVmxCpu* FakeVmxCpu::current = nullptr;

/// Bochs 3.0, model broadwell_ult, as read from its MSRs.
FakeVmxCpu::FakeVmxCpu(Model const& what) : model{what} {
    msrs = {{IA32_FEATURE_CONTROL, 5},
            {IA32_VMX_BASIC, 0x00d8'1000'0000'002b},
            {IA32_VMX_MISC, 0x2004'01e0},
            {IA32_VMX_CR0_FIXED0, 0x8000'0021},
            {IA32_VMX_CR0_FIXED1, 0xffff'ffff},
            {IA32_VMX_CR4_FIXED0, 0x2000},
            {IA32_VMX_CR4_FIXED1, 0x37'27ff},
            {IA32_VMX_PROCBASED_CTLS2, 0x0005'7fff'0000'0000},
            {IA32_VMX_EPT_VPID_CAP, 0x0f01'0633'4141},
            {IA32_VMX_TRUE_PINBASED_CTLS, 0x0000'007f'0000'0016},
            {IA32_VMX_TRUE_PROCBASED_CTLS, 0xf7f9'fffe'0400'6172},
            {IA32_VMX_TRUE_EXIT_CTLS, 0x007f'ffff'0003'6dfb},
            {IA32_VMX_TRUE_ENTRY_CTLS, 0x0000'ffff'0000'11fb}};
    if (model.monitor_trap) {
        msrs[IA32_VMX_TRUE_PROCBASED_CTLS] |= primary::MonitorTrapFlag::mask << 32;
    }
    cpuid[1] = {0, 0, 1u << 5, 0};
    become_current();
}

std::map<u64, u64>& FakeVmxCpu::current_fields() {
    REQUIRE(current_region != 0);
    return regions[current_region].fields;
}

void FakeVmxCpu::exit(Reason reason, u64 qualification, u32 instruction_bytes, Effect effect) {
    script_.emplace_back([=, this] {
        set(f::exit_qualification, qualification);
        set(f::vm_exit_instruction_length, instruction_bytes);
        if (effect) {
            effect(*this);
        }
        return static_cast<u32>(reason);
    });
}

void FakeVmxCpu::exception(u32 information, u64 qualification, u32 instruction_bytes, u32 error_code) {
    exit(Reason::ExceptionOrNmi, qualification, instruction_bytes, [=](FakeVmxCpu& cpu) {
        u32 const number = static_cast<u32>(interruption::Vector::get(information));
        bool const nmi = interruption::Type::get(information) == interruption::kNmi;
        CHECK((nmi || (cpu.get(f::exception_bitmap) >> number & 1) != 0)); // else the guest would have got it
        cpu.set(f::vm_exit_interruption_information, information | interruption::Valid::mask);
        cpu.set(f::vm_exit_interruption_error_code, error_code);
    });
}

void FakeVmxCpu::instruction(u8 bytes, u64 hits, Effect effect) {
    script_.emplace_back([=, this] {
        bool const trap_flag = (get(f::guest_rflags) & rflags::kTrap) != 0;
        set(f::guest_rip, get(f::guest_rip) + bytes);
        set(f::guest_interruptibility_state, get(f::guest_interruptibility_state) & ~kShadow);
        if (effect) {
            effect(*this);
        }
        u64 const traps = hits | debug::SingleStep::of(trap_flag ? 1 : 0);
        if (primary::MonitorTrapFlag::get(get(f::primary_controls)) != 0) {
            set(f::guest_pending_debug_exceptions, traps | debug::EnabledBreakpoint::of(hits != 0 ? 1 : 0));
            return static_cast<u32>(Reason::MonitorTrapFlag);
        }
        REQUIRE(traps != 0); // nothing else would end the guest here
        REQUIRE((get(f::exception_bitmap) >> vector::kDebug & 1) != 0);
        set(f::vm_exit_interruption_information, 0x8000'0301);
        set(f::exit_qualification, traps);
        return static_cast<u32>(Reason::ExceptionOrNmi);
    });
}

void FakeVmxCpu::delivery(u64 handler) {
    script_.emplace_back([=, this] {
        REQUIRE(interruption::Valid::get(entry()[f::vm_entry_interruption_information]) != 0);
        REQUIRE(primary::MonitorTrapFlag::get(get(f::primary_controls)) != 0);
        set(f::guest_rip, handler);
        set(f::guest_rflags, get(f::guest_rflags) & ~(rflags::kTrap | rflags::kInterrupt | rflags::kResume));
        return static_cast<u32>(Reason::MonitorTrapFlag);
    });
}

/// Intel SDM vol 3C, "Checks on VM-Entry Control Fields", "Checks on Guest Non-Register State".
void FakeVmxCpu::check_event(Entry const& at) {
    u64 const event = at[f::vm_entry_interruption_information];
    if (interruption::Valid::get(event) == 0) {
        return;
    }
    u64 const type = interruption::Type::get(event), number = interruption::Vector::get(event);
    bool const in_shadow = (at[f::guest_interruptibility_state] & kShadow) != 0;
    bool const with_length = type >= interruption::kSoftwareInterrupt;
    if (type == interruption::kExternal && (in_shadow || (at[f::guest_rflags] & rflags::kInterrupt) == 0)) {
        wrong.emplace_back("external interrupt injected where the guest cannot take one");
    }
    if (type == interruption::kNmi && in_shadow) {
        wrong.emplace_back("NMI injected in a shadow");
    }
    if (type == interruption::kHardwareException && number > 31) {
        wrong.emplace_back("hardware exception above 31");
    }
    if (with_length && (at[f::vm_entry_instruction_length] == 0 || at[f::vm_entry_instruction_length] > 15)) {
        wrong.emplace_back("software event without an instruction");
    }
}

void FakeVmxCpu::check_entry(Entry const& at) {
    check_event(at);
    bool const in_shadow = (at[f::guest_interruptibility_state] & kShadow) != 0;
    bool const step_pending = debug::SingleStep::get(at[f::guest_pending_debug_exceptions]) != 0;
    bool const trap_flag = (at[f::guest_rflags] & rflags::kTrap) != 0;
    if ((at[f::guest_interruptibility_state] & interruptibility::BlockingBySti::mask) != 0 &&
        (at[f::guest_rflags] & rflags::kInterrupt) == 0) {
        wrong.emplace_back("blocking by STI with interrupts off");
    }
    if (in_shadow && step_pending != trap_flag) {
        wrong.emplace_back("in a shadow BS must be pending exactly under TF");
    }
    if (!in_shadow && step_pending) {
        wrong.emplace_back("a #DB is left to the processor, which takes it before the next instruction");
    }
    if (at[f::guest_dr7] >> 32 != 0 || (at[f::guest_dr7] & 1u << 13) != 0 ||
        (at[f::guest_dr7] & 0x400) == 0) {
        wrong.emplace_back("DR7");
    }
    if ((at[f::guest_dr7] & 0xff) == 0 && at[f::guest_dr7] != 0x400) {
        wrong.emplace_back("DR7 describes breakpoints that are off");
    }
    if (primary::MonitorTrapFlag::get(at[f::primary_controls]) != 0 && !model.monitor_trap) {
        wrong.emplace_back("this processor has no monitor trap flag");
    }
    if (at[f::host_gs_base] != msrs[kGsBase]) {
        wrong.emplace_back("GS base before the first entry differs from that after an exit");
    }
}

u32 FakeVmxCpu::run(u64*, bool launch) {
    if (*reinterpret_cast<u32 const*>(msrs[kGsBase]) != 0) {
        return vmx::kKicked;
    }
    Region& region = regions[current_region];
    REQUIRE(region.launched != launch);
    REQUIRE_FALSE(script_.empty());
    Entry at{region.fields, {dr[0], dr[1], dr[2], dr[3]}};
    check_entry(at);
    entries.push_back(at);
    region.launched = true;
    set(f::vm_entry_interruption_information, 0);
    set(f::vm_exit_interruption_information, 0);
    set(f::idt_vectoring_information, 0);
    set(f::guest_pending_debug_exceptions, 0);
    bool const trap_flag = (get(f::guest_rflags) & rflags::kTrap) != 0;
    auto const play = script_.front();
    script_.pop_front();
    u32 const reason = play();
    if (model.saves_stale_step && trap_flag) {
        set(f::guest_pending_debug_exceptions, debug::SingleStep::mask);
    }
    set(f::exit_reason, reason);
    msrs[kGsBase] = get(f::host_gs_base);
    return reason;
}
} // namespace hv::test

// ---- the instructions, as hv/vmx calls them
using hv::test::FakeVmxCpu;

namespace hv::arch {
namespace {
FakeVmxCpu& cpu() {
    return *FakeVmxCpu::current;
}
} // namespace

CpuidResult cpuid(u32 leaf, u32) {
    return cpu().cpuid[leaf];
}
u64 rdtsc() {
    return cpu().tsc;
}
u64 rdmsr(u32 index) {
    return cpu().msrs[index];
}
void wrmsr(u32 index, u64 value) {
    cpu().msrs[index] = value;
}
u64 read_cr0() {
    return cpu().cr0;
}
u64 read_cr2() {
    return cpu().cr2;
}
u64 read_cr3() {
    return cpu().cr3;
}
u64 read_cr4() {
    return cpu().cr4;
}
void write_cr0(u64 v) {
    cpu().cr0 = v;
}
void write_cr2(u64 v) {
    cpu().cr2 = v;
}
void write_cr4(u64 v) {
    cpu().cr4 = v;
}
void fake_write_dr(unsigned index, u64 v) {
    REQUIRE(index < 4); // DR6 and DR7 are nobody's
    cpu().dr[index] = v;
    ++cpu().debug_register_writes;
}
PseudoDescriptor sgdt() {
    return {sizeof cpu().gdt - 1, reinterpret_cast<u64>(cpu().gdt)};
}
PseudoDescriptor sidt() {
    return {0xfff, 0x5000};
}

bool vmxon(Hpa) {
    return true;
}
bool vmclear(Hpa region) {
    FakeVmxCpu::Region& cleared = cpu().regions[region.raw];
    cleared.cleared = true;
    cleared.launched = false;
    if (cpu().current_region == region.raw) {
        cpu().current_region = 0;
    }
    return true;
}
bool vmptrld(Hpa region) {
    REQUIRE(cpu().regions[region.raw].cleared); // else what this CPU reads there is another's cache
    cpu().current_region = region.raw;
    return true;
}
bool vmread(u64 field, u64& value) {
    REQUIRE(cpu().current_region != 0);
    value = cpu().regions[cpu().current_region].fields[field];
    return true;
}
bool vmwrite(u64 field, u64 value) {
    REQUIRE(cpu().current_region != 0);
    cpu().regions[cpu().current_region].fields[field] = value;
    return true;
}
bool invept(Invept, u64) {
    ++cpu().nested_flushes;
    return true;
}
bool invvpid(Invvpid, u16) {
    return true;
}
void call_nmi_handler() {
    ++cpu().nmis_handled;
}
} // namespace hv::arch

hv::u32 hv::vmx::hv_vmx_resume(hv::u64* gprs, hv::u64*) {
    return FakeVmxCpu::current->run(gprs, false);
}
hv::u32 hv::vmx::hv_vmx_launch(hv::u64* gprs, hv::u64*) {
    return FakeVmxCpu::current->run(gprs, true);
}
void hv::vmx::hv_vmx_exit_entry() {}
