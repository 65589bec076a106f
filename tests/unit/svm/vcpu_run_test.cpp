// SPDX-License-Identifier: Apache-2.0
// Entries, exits, flushes, clean bits, refused states.
#include "tests/unit/svm/rig.hpp"

using namespace hv;
using namespace hv::test;
namespace x = hv::arch::svm::exit;

TEST_CASE("an exit comes back with the guest's registers", "[svm][run]") {
    Rig rig;
    rig.vcpu->gprs[Reg::Rax] = 7;
    rig.cpu.exit(x::kCpuid, 0, 0, [](arch::Vmcb& v, GuestGprs& g) {
        CHECK(g[Reg::Rax] == 7);
        g[Reg::Rcx] = 9;
        v.state.rip = 0x1234;
    });
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.vcpu->gprs[Reg::Rcx] == 9);
    CHECK(rig.vcpu->read(Reg::Rip) == 0x1234);
}

TEST_CASE("the first entry flushes and has nothing clean, the second neither", "[svm][run]") {
    Rig rig;
    rig.cpu.exit(x::kCpuid);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().clean == 0);
    CHECK(rig.cpu.entry().tlb_control == 1); // no flush-by-ASID here: everything goes
    rig.run();
    CHECK(rig.cpu.entry().clean == arch::svm::clean::kAll);
    CHECK(rig.cpu.entry().tlb_control == 0);
}

TEST_CASE("flush-by-ASID is used where it exists", "[svm][run]") {
    Rig rig{0x1001'0041};
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 3);
}

TEST_CASE("narrowing the nested map flushes once, widening it does not", "[svm][run]") {
    Rig rig;
    for (int i = 0; i < 4; ++i) {
        rig.cpu.exit(x::kCpuid);
    }
    rig.run();
    REQUIRE(rig.map->map(Gpa{0x1000}, Hpa{0x9000}, kPageBytes, Access::RWX).ok());
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 0);
    REQUIRE(rig.map->unmap(Gpa{0x1000}, kPageBytes).ok());
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 1);
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 0);
}

TEST_CASE("a flush that a kick put off is done once", "[svm][run]") {
    Rig rig;
    u32 kicked = 0;
    rig.vcpu->kicked = &kicked;
    for (int i = 0; i < 3; ++i) {
        rig.cpu.exit(x::kCpuid);
    }
    rig.run();
    REQUIRE(rig.map->map(Gpa{0x1000}, Hpa{0x9000}, kPageBytes, Access::RWX).ok());
    REQUIRE(rig.map->unmap(Gpa{0x1000}, kPageBytes).ok());
    kicked = 1;
    CHECK(rig.run().kind == ExitKind::HostEvent);
    kicked = 0;
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 1);
    rig.run();
    CHECK(rig.cpu.entry().tlb_control == 0);
}

TEST_CASE("another CPU has neither the VMCB nor translations, and old ones after coming back", "[svm][run]") {
    Rig rig;
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.vcpu->unload();

    FakeSvmCpu second;
    second.map = rig.cpu.map;
    REQUIRE(rig.backend.enable_cpu(1, rig.frames).ok());
    rig.vcpu->load();
    second.exit(x::kCpuid);
    rig.run();
    CHECK(second.entry().clean == 0);
    CHECK(second.entry().tlb_control == 1);
    CHECK(second.host_states_saved == 1);
    rig.vcpu->unload();

    rig.cpu.become_current();
    rig.vcpu->load();
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().clean == 0);
    CHECK(rig.cpu.entry().tlb_control == 1);
    CHECK(second.wrong.empty());
}

TEST_CASE("virtual processors that share an ASID never see each other's translations", "[svm][run]") {
    Rig rig; // 16 ASIDs: 15 is for all tags that have none of their own
    svm::SvmVcpu* const a = rig.make_vcpu(15);
    svm::SvmVcpu* const b = rig.make_vcpu(200);
    svm::SvmVcpu* const own = rig.make_vcpu(14);
    for (svm::SvmVcpu* const v : {a, b, own, a, own, b}) {
        v->load();
        rig.cpu.exit(x::kCpuid);
        v->run(~0ull);
        CHECK(rig.cpu.entry().asid == (v == own ? 14u : 15u));
        v->unload();
    }
    CHECK(rig.cpu.entries[4].control.tlb_control == 0); // `own` came back: nobody used its ASID
    for (svm::SvmVcpu* const v : {a, b, own}) {
        rig.backend.destroy(v, rig.frames);
    }
}

TEST_CASE("host interrupts and NMIs come out as the host's", "[svm][run]") {
    Rig rig;
    for (u64 const code : {x::kIntr, x::kNmi, x::kSmi}) {
        rig.cpu.exit(code);
        CHECK(rig.run().kind == ExitKind::HostEvent);
    }
}

TEST_CASE("a kick before the entry keeps everything that was to be done", "[svm][run]") {
    Rig rig;
    u32 kicked = 1;
    rig.vcpu->kicked = &kicked;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    rig.vcpu->inject(interrupt(0x60));
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(rig.cpu.entries.empty());
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    kicked = 0;
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.cpu.delivered_interrupt() == 0x60);
    CHECK(rig.cpu.entry().clean == 0);
    CHECK(rig.cpu.entry().tlb_control == 1);
    rig.cpu.exit(x::kCpuid);
    kicked = 1;
    CHECK(rig.run().kind == ExitKind::HostEvent); // on the short way, too
    kicked = 0;
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.cpu.delivered_interrupt() == 0);
}

TEST_CASE("a refused state ends the partition and shows nothing of the host", "[svm][run]") {
    Rig rig;
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.vcpu->gprs[Reg::Rax] = 0x42;
    rig.vcpu->write(ControlReg::Cr4, 1ull << 40);
    rig.vcpu->write(Reg::Rip, 0x5000);
    rig.cpu.refuse();
    Exit const& exit = rig.run();
    CHECK(exit.kind == ExitKind::EntryFailed);
    CHECK(exit.unknown.code == 0xffff'ffff);
    CHECK(rig.vcpu->read(Reg::Rip) == 0x5000);
    CHECK(rig.vcpu->read(ControlReg::Cr3) == 0);
    CHECK(rig.vcpu->read(ControlReg::Cr4) == 1ull << 40);
    CHECK(rig.vcpu->gprs[Reg::Rax] == 0x42);
    auto const entries = rig.cpu.entries.size();
    CHECK(rig.run().kind == ExitKind::EntryFailed); // and is never entered again
    CHECK(rig.cpu.entries.size() == entries);
    rig.vcpu->reset();
    rig.cpu.exit(x::kHlt);
    CHECK(rig.run().kind == ExitKind::Halt);
}

TEST_CASE("exit -1 from a guest that broke its own state is #GP, once", "[svm][run]") {
    Rig rig;
    auto const broke = [](arch::Vmcb& v, GuestGprs&) { v.state.rip = 0x777; };
    rig.cpu.exit(0xffff'ffff, 0, 0, broke);
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.cpu.entry().event_injection == 0x8000'0b0d);
    CHECK(rig.cpu.entry_state().rip == 0x777);
    rig.cpu.exit(0xffff'ffff, 0, 0, broke);
    rig.cpu.exit(0xffff'ffff'ffff'ffff, 0, 0, broke);
    CHECK(rig.run().kind == ExitKind::EntryFailed);
}

TEST_CASE("every setter takes its clean group away", "[svm][run]") {
    Rig rig{0x1001'0021}; // with VMCB clean bits
    // The fake compares each group that is marked clean with what it cached; ~Rig() checks that none
    // differed.
    std::vector<std::function<void(svm::SvmVcpu&)>> const changes = {
        [](auto& v) { v.write(ControlReg::Cr0, 0x8005'0033); },
        [](auto& v) { v.write(ControlReg::Cr0, 0x6000'0010); },
        [](auto& v) { v.write(ControlReg::Cr2, 0x123); },
        [](auto& v) { v.write(ControlReg::Cr3, 0x5000); },
        [](auto& v) { v.write(ControlReg::Cr4, 0x20); },
        [](auto& v) { v.write(StateMsr::IA32_EFER, 0x900); },
        [](auto& v) { v.write(StateMsr::IA32_PAT, 0x0606'0606'0606'0606); },
        [](auto& v) { v.write(StateMsr::IA32_LSTAR, 0x1); },
        [](auto& v) {
            v.write(Seg::Cs, {8, 0xa9b, ~0u, 0});
        },
        [](auto& v) {
            v.write(Seg::Ss, {16, 0xcf3, ~0u, 0});
        },
        [](auto& v) {
            v.write(Seg::Fs, {16, 0xc93, ~0u, 5});
        },
        [](auto& v) {
            v.write(Seg::Tr, {24, 0x8b, 0x67, 0x1000});
        },
        [](auto& v) {
            v.write_gdtr({0x1000, 0x7f});
        },
        [](auto& v) {
            v.write_idtr({0x2000, 0xfff});
        },
        [](auto& v) { v.arm_breakpoints({.address = {1}, .dr7 = 0x401}); },
        [](auto& v) { v.arm_breakpoints({}); },
        [](auto& v) { v.set_tsc_offset(0x55); },
        [](auto& v) { v.intercept_exceptions(1u << 14); },
        [](auto& v) { v.request_interrupt_window(true); },
        [](auto& v) { v.request_interrupt_window(false); },
        [](auto& v) {
            v.inject({Event::Type::Nmi, 2, false, 0});
        },
        [](auto& v) { v.write(Reg::Rip, 0x99); },
        [](auto& v) { v.write(Reg::Rflags, 0x202); },
        [](auto& v) { v.reset(); },
    };
    for (auto const& change : changes) {
        rig.cpu.exit(x::kCpuid);
        rig.run();
        change(*rig.vcpu);
    }
    rig.cpu.exit(x::kCpuid);
    rig.run();
}

TEST_CASE("guest control and paging changes flush what the guest's own MOV would flush", "[svm][run]") {
    Rig rig;
    for (ControlReg const r : {ControlReg::Cr0, ControlReg::Cr3, ControlReg::Cr4}) {
        rig.cpu.exit(x::kCpuid);
        rig.run();
        rig.vcpu->write(r, 0x20);
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK(rig.cpu.entry().tlb_control == 1);
    }
}
