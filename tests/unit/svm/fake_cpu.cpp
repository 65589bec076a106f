// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/svm/fake_cpu.hpp"
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <tuple>

namespace hv::test {
namespace {
namespace clean = arch::svm::clean;

template <class... T>
std::string bytes_of(T const&... fields) {
    std::string all;
    (all.append(reinterpret_cast<char const*>(&fields), sizeof fields), ...);
    return all;
}

/// What each clean bit stands for (AMD APM vol 2, table "VMCB Clean Bits").
std::string group(u32 bit, arch::Vmcb const& v) {
    auto const& c = v.control;
    auto const& s = v.state;
    switch (bit) {
    case clean::kIntercepts:
        return bytes_of(c.intercept_cr_read, c.intercept_cr_write, c.intercept_dr_read, c.intercept_dr_write,
                        c.intercept_exceptions, c.intercept_instructions1, c.intercept_instructions2,
                        c.intercept_instructions3, c.tsc_offset, c.pause_filter_count);
    case clean::kPermissionMaps: return bytes_of(c.iopm_base, c.msrpm_base);
    case clean::kAsid: return bytes_of(c.asid);
    case clean::kInterruptControl: return bytes_of(c.interrupt_control);
    case clean::kNestedPaging: return bytes_of(c.nested_cr3, s.g_pat);
    case clean::kControlRegisters: return bytes_of(s.cr0, s.cr3, s.cr4, s.efer);
    case clean::kDebugRegisters: return bytes_of(s.dr6, s.dr7);
    case clean::kDescriptorTables: return bytes_of(s.gdtr.base, s.gdtr.limit, s.idtr.base, s.idtr.limit);
    case clean::kSegments: return bytes_of(s.cs, s.ds, s.ss, s.es, s.cpl);
    case clean::kCr2: return bytes_of(s.cr2);
    default: return {};
    }
}
} // namespace

FakeSvmCpu* FakeSvmCpu::current = nullptr;

FakeSvmCpu::FakeSvmCpu() {
    cpuid[0x8000'0000] = {0x8000'001f, 0, 0, 0};
    cpuid[0x8000'0001] = {0, 0, arch::svm::kCpuidSvm, arch::svm::kCpuidPage1Gb};
    cpuid[0x8000'0008] = {0x3028, 0, 0, 0};
    cpuid[0x8000'000a] = {1, 16, 0, 0x1001'0001}; // QEMU 7.2
    become_current();
}

void FakeSvmCpu::exit(u64 code, u64 info1, u64 info2, Guest guest) {
    script_.push_back([=](arch::Vmcb& vmcb, GuestGprs& gprs) {
        vmcb.control.exit_code = code;
        vmcb.control.exit_info1 = info1;
        vmcb.control.exit_info2 = info2;
        if (guest) {
            guest(vmcb, gprs);
        }
    });
}

void FakeSvmCpu::refuse() {
    exit(0xffff'ffff, 0, 0, [this](arch::Vmcb& vmcb, GuestGprs& gprs) {
        vmcb.state.cr3 = cr3;
        vmcb.state.rip = 0xffff'ffff'8000'1234;
        vmcb.state.rsp = 0xffff'ffff'8000'5678;
        gprs[Reg::Rax] = vmcb.state.rax = 0xdead'0000;
    });
}

/// B0–B3 of the breakpoints that @p address meets. The emulator's are 1 byte long here.
u64 FakeSvmCpu::points_at(u64 address, bool data) const {
    u64 hits = 0;
    for (unsigned n = 0; n < 4; ++n) {
        bool const is_data = (enabled_ >> (16 + 4 * n) & 3) != 0;
        if ((enabled_ >> (2 * n) & 3) != 0 && is_data == data && dr[n] == address) {
            hits |= 1u << n;
        }
    }
    return hits;
}

void FakeSvmCpu::instruction(u8 bytes, Guest effect, u64 writes) {
    script_.push_back([=, this](arch::Vmcb& vmcb, GuestGprs& gprs) {
        arch::VmcbState& state = vmcb.state;
        vmcb.control.exit_code = arch::svm::exit::kException + vector::kDebug;
        u64 const before = points_at(state.rip, false);
        if (before != 0 && (state.rflags & rflags::kResume) == 0) {
            state.dr6 |= before;
            return;
        }
        u64 const trap = (state.rflags & rflags::kTrap) != 0 ? 1u << 14 : 0u;
        u64 const causes = trap | points_at(writes, true);
        REQUIRE(causes != 0); // nothing else would end the guest here
        state.rip += bytes;
        state.rflags &= ~rflags::kResume;
        vmcb.control.interrupt_state = 0;
        if (effect) {
            effect(vmcb, gprs);
        }
        state.dr6 |= causes;
        if (!silicon) { // check_hw_breakpoints(): whatever matches, the next instruction's included
            for (unsigned n = 0; n < 4; ++n) {
                state.dr6 |= dr[n] == state.rip ? 1u << n : 0u;
            }
        }
    });
}

u32 FakeSvmCpu::run(GuestGprs& gprs, arch::Vmcb& vmcb, u64 vmcb_at, u64 host_vmcb_at, u32 kicked,
                    std::optional<u64> dr7) {
    if (kicked != 0) {
        return 1;
    }
    host_dr7.push_back(dr7);
    enabled_ = silicon ? vmcb.state.dr7 : dr7.value_or(0x400);
    if (vmcb.state.dr6 != 0xffff'0ff0) {
        wrong.emplace_back("an old cause in VMCB.DR6");
    }
    REQUIRE(host_vmcb_at != 0);
    REQUIRE_FALSE(script_.empty());
    entries.push_back(vmcb);
    check_clean_groups(vmcb, vmcb_at);
    check_translations(vmcb.control, vmcb_at);
    bool const sane = vmcb.control.asid != 0 && (vmcb.state.efer & efer::kSvme) != 0 &&
                      (vmcb.control.intercept_instructions2 & arch::svm::intercept2::kVmrun) != 0 &&
                      vmcb.state.cpl == Bits<6, 5>::get(vmcb.state.ss.attributes);
    if (!sane) {
        wrong.emplace_back("VMRUN would be refused, or CPL and SS.DPL differ");
    }
    vmcb.state.rax = gprs[Reg::Rax];
    vmcb.control.exit_interrupt_info = 0;
    vmcb.control.event_injection &= ~arch::svm::event::Valid::mask; // junk may stay in the low bits
    // A virtual interrupt that is not intercepted is taken before the first instruction, unless the script
    // says that an exit came first.
    bool const window = (vmcb.control.intercept_instructions1 & arch::svm::intercept1::kVintr) != 0;
    if (!window && (vmcb.state.rflags & rflags::kInterrupt) != 0 && !exit_before_delivery) {
        vmcb.control.interrupt_control &= ~arch::svm::interrupt_control::kVirtualIrq;
    }
    exit_before_delivery = false;
    auto const play = script_.front();
    script_.pop_front();
    play(vmcb, gprs);
    cached_[vmcb_at] = vmcb;
    return 0;
}

void FakeSvmCpu::check_clean_groups(arch::Vmcb const& vmcb, u64 vmcb_at) {
    auto const before = cached_.find(vmcb_at);
    for (u32 bit = 1; bit < clean::kAll; bit <<= 1) {
        if ((vmcb.control.clean & bit) == 0) {
            continue;
        }
        if (before == cached_.end()) {
            wrong.emplace_back("clean bit set, but this CPU never ran that VMCB");
        } else if (group(bit, before->second) != group(bit, vmcb)) {
            wrong.emplace_back("changed, but marked clean: group " + std::to_string(bit));
        }
    }
}

void FakeSvmCpu::check_translations(arch::VmcbControl const& control, u64 vmcb_at) {
    u64 const generation = map != nullptr ? map->generation() : 0;
    switch (static_cast<arch::svm::TlbControl>(control.tlb_control)) {
    case arch::svm::TlbControl::FlushAll: translations_.clear(); break;
    case arch::svm::TlbControl::FlushThisAsid: translations_.erase(control.asid); break;
    case arch::svm::TlbControl::Nothing: break;
    }
    auto const [tag, fresh] = translations_.try_emplace(control.asid, Tag{vmcb_at, generation});
    if (!fresh && tag->second.vmcb_at != vmcb_at) {
        wrong.emplace_back("another virtual processor's translations under this ASID");
    }
    if (!fresh && tag->second.generation != generation) {
        wrong.emplace_back("translations from before the nested map was narrowed");
    }
}
} // namespace hv::test

using hv::test::FakeSvmCpu;

hv::u32 hv_svm_world_switch(hv::GuestGprs* gprs, hv::arch::Vmcb* vmcb, hv::u64 vmcb_at, hv::u64 host_vmcb_at,
                            hv::u32 const* kicked) {
    return FakeSvmCpu::current->run(*gprs, *vmcb, vmcb_at, host_vmcb_at, *kicked, {});
}
hv::u32 hv_svm_world_switch_armed(hv::GuestGprs* gprs, hv::arch::Vmcb* vmcb, hv::u64 vmcb_at,
                                  hv::u64 host_vmcb_at, hv::u32 const* kicked, hv::u64 dr7) {
    return FakeSvmCpu::current->run(*gprs, *vmcb, vmcb_at, host_vmcb_at, *kicked, dr7);
}
void hv_svm_write_breakpoint_addresses(hv::u64 const (&addresses)[4]) {
    std::copy(std::begin(addresses), std::end(addresses), FakeSvmCpu::current->dr);
    ++FakeSvmCpu::current->dr_writes;
}
bool hv_svm_is_own_address(hv::u64 address) {
    return ((address ^ FakeSvmCpu::kOwn) >> 21) == 0;
}
void hv_svm_save_host_state(hv::u64) {
    ++FakeSvmCpu::current->host_states_saved;
}
hv::u64 hv_svm_rdmsr(hv::u32 index) {
    FakeSvmCpu const& cpu = *FakeSvmCpu::current;
    switch (index) {
    case hv::arch::svm::msr::kEfer: return cpu.efer;
    case hv::arch::svm::msr::kVmCr: return cpu.vm_cr;
    case hv::arch::svm::msr::kVmHsavePa: return cpu.host_save_area;
    default: FAIL("unexpected RDMSR"); return 0;
    }
}
void hv_svm_wrmsr(hv::u32 index, hv::u64 value) {
    FakeSvmCpu& cpu = *FakeSvmCpu::current;
    switch (index) {
    case hv::arch::svm::msr::kEfer: cpu.efer = value; break;
    case hv::arch::svm::msr::kVmHsavePa: cpu.host_save_area = value; break;
    case hv::arch::svm::msr::kVmCr:
        REQUIRE((cpu.vm_cr & hv::arch::svm::kVmCrLock) == 0); // silently ignored: nobody should rely on it
        cpu.vm_cr = value;
        break;
    case hv::arch::svm::msr::kTscAux: cpu.tsc_aux = value; break;
    default: FAIL("unexpected WRMSR"); break;
    }
}
void hv_svm_cpuid(hv::u32 leaf, hv::u32, hv::arch::CpuidResult* registers) {
    *registers = FakeSvmCpu::current->cpuid[leaf];
}
hv::u64 hv_svm_read_cr3() {
    return FakeSvmCpu::current->cr3;
}
