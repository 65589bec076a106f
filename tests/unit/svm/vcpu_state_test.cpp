// SPDX-License-Identifier: Apache-2.0
// What the core writes and reads, and what the hardware gets.
#include "tests/unit/svm/rig.hpp"

using namespace hv;
using namespace hv::test;
namespace x = hv::arch::svm::exit;

TEST_CASE("state after reset is the manual's", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    v.gprs[Reg::Rbx] = 5;
    v.write(ControlReg::Cr4, 0x20);
    v.inject(interrupt(0x60));
    v.reset();
    CHECK(v.read(Reg::Rip) == 0xfff0);
    CHECK(v.read(Reg::Rflags) == 2);
    CHECK(v.read(ControlReg::Cr0) == 0x6000'0010);
    CHECK(v.read(ControlReg::Cr4) == 0);
    CHECK(v.read(StateMsr::IA32_EFER) == 0);
    CHECK(v.read(StateMsr::IA32_PAT) == 0x0007'0406'0007'0406);
    CHECK(v.read(Seg::Cs).selector == 0xf000);
    CHECK(v.read(Seg::Cs).base == 0xffff'0000);
    CHECK(v.read(Seg::Tr).attributes == 0x8b);
    CHECK(v.read_idtr().limit == 0xffff);
    CHECK(v.vmcb_memory().state.dr7 == 0x400);
    CHECK(v.cpl() == 0);
    CHECK(v.gprs[Reg::Rbx] == 0);
    v.write(Reg::Rflags, rflags::kInterrupt);
    CHECK(v.can_take_interrupt());
}

TEST_CASE("the guest may think its caches are off", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    v.reset();
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry_state().cr0 & (cr0::kCd | cr0::kNw)) == 0);
    CHECK((rig.cpu.entry().intercept_cr_read & 1) != 0);
    CHECK((rig.cpu.entry().intercept_cr_write & 1) !=
          0); // a write of CD = 0 changes nothing the CPU would see
    v.write(ControlReg::Cr0, 0x8005'0033);
    CHECK(v.read(ControlReg::Cr0) == 0x8005'0033);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry().intercept_cr_read & 1) == 0);
    CHECK((rig.cpu.entry().intercept_cr_write & 1) == 0);
}

TEST_CASE("EFER.LMA follows paging, SVME is nobody's business", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    v.write(StateMsr::IA32_EFER, efer::kLme | efer::kNxe);
    CHECK(v.read(StateMsr::IA32_EFER) == (efer::kLme | efer::kNxe));
    v.write(ControlReg::Cr0, cr0::kPg | cr0::kPe);
    CHECK(v.read(StateMsr::IA32_EFER) == (efer::kLme | efer::kNxe | efer::kLma));
    CHECK((rig.vmcb().state.efer & efer::kSvme) != 0);
    v.write(ControlReg::Cr0, cr0::kPe);
    CHECK(v.read(StateMsr::IA32_EFER) == (efer::kLme | efer::kNxe));
    v.write(StateMsr::IA32_EFER, 0);
    v.write(ControlReg::Cr0, cr0::kPg | cr0::kPe);
    CHECK(v.read(StateMsr::IA32_EFER) == 0);
    v.write(StateMsr::IA32_EFER, efer::kLme | efer::kLma); // a loader may say it in one word
    CHECK(v.read(StateMsr::IA32_EFER) == (efer::kLme | efer::kLma));
}

TEST_CASE("segments, tables and MSRs come back as written", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    u16 n = 1;
    for (Seg const s : {Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs, Seg::Ldtr, Seg::Tr}) {
        v.write(s, {n, static_cast<u16>(0x100 + n), 0x1000u * n, 0x10'0000ull * n});
        ++n;
    }
    n = 1;
    for (Seg const s : {Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs, Seg::Ldtr, Seg::Tr}) {
        Segment const got = v.read(s);
        CHECK(got.selector == n);
        CHECK(got.attributes == 0x100 + n);
        CHECK(got.limit == 0x1000u * n);
        CHECK(got.base == 0x10'0000ull * n);
        ++n;
    }
    v.write_gdtr({0x1234, 0x7f});
    v.write_idtr({0x5678, 0xff});
    CHECK(v.read_gdtr().base == 0x1234);
    CHECK(v.read_gdtr().limit == 0x7f);
    CHECK(v.read_idtr().base == 0x5678);
    u64 value = 0x100;
    StateMsr const msrs[] = {
        StateMsr::IA32_SYSENTER_CS, StateMsr::IA32_SYSENTER_ESP,  StateMsr::IA32_SYSENTER_EIP,
        StateMsr::IA32_PAT,         StateMsr::IA32_STAR,          StateMsr::IA32_LSTAR,
        StateMsr::IA32_CSTAR,       StateMsr::IA32_FMASK,         StateMsr::IA32_FS_BASE,
        StateMsr::IA32_GS_BASE,     StateMsr::IA32_KERNEL_GS_BASE};
    for (StateMsr const m : msrs) {
        v.write(m, value++);
    }
    value = 0x100;
    for (StateMsr const m : msrs) {
        CHECK(v.read(m) == value++);
    }
    CHECK(v.read(Seg::Fs).base == v.read(StateMsr::IA32_FS_BASE));
}

TEST_CASE("writes of CR3 exit while somebody asks for them", "[svm][state]") {
    Rig rig;
    constexpr u16 kCr3 = 1u << 3;
    for (bool const wanted : {true, true, false, true}) {
        rig.vcpu->report_cr3_writes(wanted);
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK(((rig.cpu.entry().intercept_cr_write & kCr3) != 0) == wanted);
    }
    rig.vcpu->reset();
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry().intercept_cr_write & kCr3) == 0);
}

TEST_CASE("CPL is SS.DPL, in both places the hardware may look", "[svm][state]") {
    Rig rig;
    rig.vcpu->write(Seg::Ss, {0x2b, 0xcf3, ~0u, 0});
    CHECK(rig.vcpu->cpl() == 3);
    rig.cpu.exit(x::kCpuid);
    rig.run(); // the fake compares the two
}

TEST_CASE("64-bit code is long mode and CS.L", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    v.reset();
    CHECK_FALSE(v.in_64bit_code());
    v.write(Seg::Cs, {0x10, 0xa9b, ~0u, 0});
    CHECK_FALSE(v.in_64bit_code());
    v.write(ControlReg::Cr4, cr4::kPae);
    v.write(StateMsr::IA32_EFER, efer::kLme);
    v.write(ControlReg::Cr0, cr0::kPe | cr0::kPg);
    CHECK(v.in_64bit_code());
    v.write(Seg::Cs, {0x10, 0xc9b, ~0u, 0});
    CHECK_FALSE(v.in_64bit_code());
}

TEST_CASE("advancing ends the shadow and the resume flag", "[svm][state]") {
    Rig rig;
    rig.stop_in_shadow();
    u64 const rip = rig.vcpu->read(Reg::Rip);
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt | rflags::kResume);
    rig.vcpu->advance(3);
    CHECK(rig.vcpu->read(Reg::Rip) == rip + 3);
    CHECK(rig.vcpu->read(Reg::Rflags) == (rflags::kInterrupt | rflags::kReserved1));
    CHECK(rig.vcpu->can_take_interrupt());
}

TEST_CASE("advancing wraps at 4 GiB outside 64-bit code only", "[svm][state]") {
    Rig rig;
    auto& v = *rig.vcpu;
    v.write(Reg::Rip, 0xffff'ffff);
    v.advance(2);
    CHECK(v.read(Reg::Rip) == 1);
    v.write(StateMsr::IA32_EFER, efer::kLme);
    v.write(ControlReg::Cr0, cr0::kPg | cr0::kPe);
    v.write(Seg::Cs, {8, 0xa9b, ~0u, 0});
    v.write(Reg::Rip, 0xffff'ffff);
    v.advance(2);
    CHECK(v.read(Reg::Rip) == 0x1'0000'0001);
}

TEST_CASE("each virtual processor has its own TSC_AUX, where the processor has one", "[svm][state]") {
    for (bool const has : {true, false}) {
        Rig rig{0x1001'0001, has ? arch::svm::kCpuidRdtscp : 0};
        svm::SvmVcpu* const other = rig.make_vcpu(2);
        CHECK(rig.cpu.tsc_aux == (has ? 0 : 0xbad));
        rig.vcpu->set_tsc_aux(7);
        CHECK(rig.cpu.tsc_aux == (has ? 7 : 0xbad));
        other->load();
        other->set_tsc_aux(8);
        rig.vcpu->load();
        CHECK(rig.cpu.tsc_aux == (has ? 7 : 0xbad));
        rig.vcpu->reset();
        CHECK(rig.cpu.tsc_aux == (has ? 0 : 0xbad));
        other->load();
        CHECK(rig.cpu.tsc_aux == (has ? 8 : 0xbad));
        rig.backend.destroy(other, rig.frames);
        rig.vcpu->load();
    }
}

TEST_CASE("a machine's processors must be alike, and failures name themselves", "[svm][backend]") {
    Rig rig{0x1001'0009}; // with next RIP
    CHECK(rig.backend.features().next_rip_save);
    CHECK((rig.cpu.efer & (efer::kSvme | efer::kNxe)) == (efer::kSvme | efer::kNxe));
    FakeSvmCpu second; // without
    CHECK(rig.backend.enable_cpu(1, rig.frames).error() == VirtError::NotSupported);
    CHECK_FALSE(rig.backend.missing_feature().empty());
    rig.cpu.become_current();
}

TEST_CASE("SVM that the firmware has left off is switched on unless it is locked", "[svm][backend]") {
    using arch::svm::kVmCrLock, arch::svm::kVmCrSvmDisable;
    constexpr u64 kRedirectInit = 2; // VM_CR's other bits stay as they are
    FakeSvmCpu cpu;
    ArenaFrames frames{64};
    svm::SvmBackend backend;
    SECTION("off") {
        cpu.vm_cr = kVmCrSvmDisable | kRedirectInit;
        CHECK(backend.enable_cpu(0, frames).ok());
        CHECK(cpu.vm_cr == kRedirectInit);
        CHECK((cpu.efer & efer::kSvme) != 0);
    }
    SECTION("off and locked") {
        cpu.vm_cr = kVmCrSvmDisable | kVmCrLock;
        CHECK(backend.enable_cpu(0, frames).error() == VirtError::DisabledByFirmware);
        CHECK((cpu.efer & efer::kSvme) == 0);
    }
    SECTION("on and locked") {
        cpu.vm_cr = kVmCrLock;
        CHECK(backend.enable_cpu(0, frames).ok());
    }
}

TEST_CASE("running out of frames leaves none behind", "[svm][backend]") {
    FakeSvmCpu cpu;
    ArenaFrames frames{64};
    svm::SvmBackend backend;
    for (usize limit = 0; limit < 7; ++limit) {
        frames.limit = limit;
        auto const result = backend.enable_cpu(0, frames);
        REQUIRE_FALSE(result.ok());
        CHECK(result.error() == VirtError::OutOfMemory);
        CHECK((frames.live() == 0 || frames.live() == 5)); // the maps stay, they are the machine's
    }
    frames.limit = 64;
    REQUIRE(backend.enable_cpu(0, frames).ok());
    usize const machine = frames.live();
    CHECK(machine == 7);
    NestedMap* const map = backend.create_nested_map(frames).take();
    usize const with_map = frames.live();
    frames.limit = with_map + 1;
    CHECK(backend.create_vcpu({map, 1}, frames).error() == VirtError::OutOfMemory);
    CHECK(frames.live() == with_map);
    frames.limit = 64;
    VirtVcpu* const vcpu = backend.create_vcpu({map, 1}, frames).take();
    backend.destroy(vcpu, frames);
    backend.destroy(map, frames);
    CHECK(frames.live() == machine);
}

TEST_CASE("the hypercall instruction is VMMCALL", "[svm][backend]") {
    u8 bytes[3];
    svm::SvmBackend backend;
    backend.hypercall_instruction(bytes);
    CHECK(bytes[0] == 0x0f);
    CHECK(bytes[1] == 0x01);
    CHECK(bytes[2] == 0xd9);
}
