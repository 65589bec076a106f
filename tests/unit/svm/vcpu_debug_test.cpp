// SPDX-License-Identifier: Apache-2.0
// #DB, armed breakpoints, single steps: what a debugger and a guest that debugs itself need.
#include "tests/unit/svm/rig.hpp"

using namespace hv;
using namespace hv::test;
namespace x = hv::arch::svm::exit;
namespace i1 = hv::arch::svm::intercept1;

namespace {
constexpr u64 kBs = 1u << 14;
constexpr u64 kData0 = 0x1'0401, kCode0 = 0x401, kCode1 = 0x404; // DR7: one breakpoint enabled, writes 1 byte

struct DebugRig : Rig {
    explicit DebugRig(bool silicon = false) { cpu.silicon = silicon; }

    /// Runs to a #DB report. @return its causes
    u64 debug() {
        Exit const& exit = run();
        REQUIRE(exit.kind == ExitKind::Exception);
        REQUIRE(exit.exception.vector == vector::kDebug);
        CHECK_FALSE(exit.exception.has_error_code);
        CHECK(vmcb().state.dr6 == 0xffff'0ff0);
        return exit.exception.address;
    }
    u64 rip() { return vcpu->read(Reg::Rip); }
    bool last_armed() { return cpu.host_dr7.back().has_value(); }
};
} // namespace

TEST_CASE("each #DB is reported with its causes, and given to nobody", "[svm][debug]") {
    DebugRig rig;
    rig.cpu.exit(x::kException + 1, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.state.dr6 |= kBs; });
    CHECK(rig.debug() == kBs);
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
    rig.cpu.exit(x::kException + 1, 0, 0, [](arch::Vmcb& v, GuestGprs&) {
        v.state.dr6 = (v.state.dr6 | 1u << 13) & ~(1u << 16); // BD; RTM is 0 in a transaction
    });
    CHECK(rig.debug() == 1u << 13);
    rig.cpu.exit(x::kException + 1, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.state.dr6 |= 0xf | kBs; });
    CHECK(rig.debug() == kBs); // B0–B3 of breakpoints that nobody enabled
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.cpu.entry().event_injection == 0);
}

TEST_CASE("a guest that single-steps over an emulated instruction gets its #DB first", "[svm][debug]") {
    DebugRig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kTrap | rflags::kInterrupt);
    rig.vcpu->advance(2);
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    CHECK_FALSE(rig.vcpu->can_take_nmi());
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
    rig.vcpu->request_interrupt_window(true);
    CHECK(rig.debug() == kBs);
    CHECK(rig.cpu.entries.empty());
    CHECK(rig.trap_flag());
    CHECK(rig.vcpu->can_take_interrupt());
    CHECK(rig.vcpu->can_take_nmi());
    rig.vcpu->advance(2);
    rig.vcpu->reset();
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
}

TEST_CASE("INT1 is a #DB without a cause, with RIP still on it", "[svm][debug]") {
    for (u32 const features : {0x1001'0001u, 0x1001'0009u}) {
        Rig rig{features};
        rig.vcpu->write(Reg::Rip, 0x1000);
        bool const has_next_rip = (features & 8) != 0;
        rig.cpu.exit(x::kIcebp, 0, 0, [&](arch::Vmcb& v, GuestGprs&) {
            v.control.next_rip = has_next_rip ? 0x1002 : 0; // with a prefix
        });
        Exit const& exit = rig.run();
        CHECK((rig.cpu.entry().intercept_instructions2 & arch::svm::intercept2::kIcebp) != 0);
        REQUIRE(exit.kind == ExitKind::Exception);
        CHECK(exit.exception.vector == vector::kDebug);
        CHECK(exit.exception.address == 0);
        CHECK(exit.instruction_bytes == (has_next_rip ? 2 : 1));
        CHECK(rig.vcpu->read(Reg::Rip) == 0x1000);
        u8 const bytes = exit.instruction_bytes;
        rig.vcpu->inject(fault(vector::kDebug));
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK(rig.cpu.entry().event_injection == 0x8000'0301);
        CHECK(rig.cpu.entry_state().rip == 0x1000u + bytes); // the handler returns behind it
    }
}

TEST_CASE("with nothing armed no debug register is touched", "[svm][debug]") {
    DebugRig rig;
    auto const stays_ordinary = [&](HardwareBreakpoints const& points) {
        rig.vcpu->arm_breakpoints(points);
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK(rig.cpu.dr_writes == 0);
        CHECK_FALSE(rig.last_armed());
        CHECK(rig.cpu.entry_state().dr7 == 0x400);
    };
    stays_ordinary({});
    stays_ordinary({.address = {0x1000, 0x2000}, .dr7 = 0x400});
    stays_ordinary({.address = {0x1000}, .dr7 = 0xffff'0400}); // kinds and lengths, nothing enabled
    rig.vcpu->unload();
    rig.vcpu->load();
    stays_ordinary({});
}

TEST_CASE("breakpoints stay armed until told otherwise", "[svm][debug]") {
    DebugRig rig;
    HardwareBreakpoints const points{.address = {1, 2, 3, 4}, .dr7 = 0x0d99'0455};
    rig.vcpu->arm_breakpoints(points);
    for (int i = 0; i < 3; ++i) {
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK(rig.cpu.host_dr7.back() == points.dr7);
        CHECK(rig.cpu.entry_state().dr7 == points.dr7);
        rig.vcpu->arm_breakpoints(points);
    }
    CHECK(rig.cpu.dr_writes == 1);
    CHECK(std::equal(std::begin(points.address), std::end(points.address), rig.cpu.dr));
    rig.vcpu->arm_breakpoints({});
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK_FALSE(rig.last_armed());
    CHECK(rig.cpu.entry_state().dr7 == 0x400);
    CHECK(rig.cpu.dr_writes == 1);
    rig.vcpu->arm_breakpoints(points);
    rig.vcpu->reset();
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK_FALSE(rig.last_armed());
    CHECK(rig.cpu.entry_state().dr7 == 0x400);
}

TEST_CASE("each virtual processor finds its own breakpoint addresses", "[svm][debug]") {
    DebugRig rig;
    svm::SvmVcpu* const other = rig.make_vcpu(2);
    rig.vcpu->arm_breakpoints({.address = {0x1000}, .dr7 = kCode0});
    other->load();
    other->arm_breakpoints({.address = {0x2000}, .dr7 = kCode0});
    for (svm::SvmVcpu* const v : {rig.vcpu, other, rig.vcpu}) {
        v->load();
        rig.cpu.exit(x::kCpuid);
        v->run(~0ull);
        CHECK(rig.cpu.dr[0] == (v == other ? 0x2000u : 0x1000u));
        v->unload();
    }
    rig.backend.destroy(other, rig.frames);
    rig.vcpu->load();
}

TEST_CASE("a kick keeps the breakpoints", "[svm][debug]") {
    DebugRig rig;
    u32 kicked = 1;
    rig.vcpu->kicked = &kicked;
    rig.vcpu->arm_breakpoints({.address = {0x1000}, .dr7 = kCode0});
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(rig.cpu.entries.empty());
    kicked = 0;
    rig.vcpu->write(Reg::Rip, 0x1000);
    rig.cpu.instruction(1);
    CHECK(rig.debug() == 1);
}

TEST_CASE("code breakpoints hit before, data breakpoints behind the instruction", "[svm][debug]") {
    for (bool const silicon : {false, true}) {
        DebugRig rig{silicon};
        rig.vcpu->arm_breakpoints({.address = {0x1000, 0x8000}, .dr7 = 0x0010'0405});
        rig.vcpu->write(Reg::Rip, 0x1000);
        rig.cpu.instruction(2);
        CHECK(rig.debug() == 1);
        CHECK(rig.rip() == 0x1000);
        rig.vcpu->write(Reg::Rflags, rflags::kResume);
        rig.cpu.instruction(2, {}, 0x8000);
        CHECK(rig.debug() == 2);
        CHECK(rig.rip() == 0x1002);
    }
}

TEST_CASE("a breakpoint in the hypervisor's own code is not enabled there", "[svm][debug]") {
    DebugRig rig;
    rig.vcpu->arm_breakpoints({.address = {FakeSvmCpu::kOwn + 0x1234, 0x5000}, .dr7 = 0x40f});
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.host_dr7.back() == 0x40c);
    CHECK(rig.cpu.entry_state().dr7 == 0x40f); // a processor's guest has it all the same
}

TEST_CASE("one step, and nothing of it left", "[svm][step]") {
    DebugRig rig;
    CHECK_FALSE(rig.vcpu->steps_exactly());
    rig.vcpu->step_once();
    rig.cpu.instruction(2);
    CHECK(rig.run().kind == ExitKind::SingleStep);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) != 0);
    CHECK_FALSE(rig.trap_flag());
    CHECK(rig.vmcb().state.dr6 == 0xffff'0ff0);
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    CHECK(rig.cpu.entry().intercept_exceptions == svm::kAlwaysInterceptedExceptions);
}

TEST_CASE("a step is over with whatever is reported", "[svm][step]") {
    DebugRig rig;
    for (u64 const code : {x::kIntr, x::kNmi, x::kCpuid, x::kHlt}) {
        rig.vcpu->step_once();
        rig.cpu.exit(code);
        rig.run();
        CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) != 0);
        CHECK_FALSE(rig.trap_flag());
        rig.cpu.exit(x::kCpuid);
        rig.run();
        CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    }
    u32 kicked = 1;
    rig.vcpu->kicked = &kicked;
    rig.vcpu->step_once();
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK_FALSE(rig.trap_flag());
    kicked = 0;
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
}

TEST_CASE("a step over a faulting instruction ends with the fault waiting", "[svm][step]") {
    DebugRig rig;
    rig.vcpu->step_once();
    rig.cpu.exit(x::kException + 14, 6, 0xdead'b000);
    CHECK(rig.run().kind == ExitKind::SingleStep);
    CHECK_FALSE(rig.trap_flag());
    REQUIRE(rig.vcpu->waiting_event().has_value());
    CHECK(rig.vcpu->waiting_event()->vector == 14);
    CHECK(rig.vcpu->waiting_event()->error_code == 6);
    CHECK(rig.vcpu->read(ControlReg::Cr2) == 0xdead'b000);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x6'8000'0b0e);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    // One that the core has asked for is reported as itself.
    rig.vcpu->intercept_exceptions(1u << 6);
    rig.vcpu->step_once();
    rig.cpu.exit(x::kException + 6);
    CHECK(rig.run().exception.vector == 6);
    CHECK_FALSE(rig.trap_flag());
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
}

TEST_CASE("PUSHF, POPF and IRET are stepped like all others; repairing is the caller's", "[svm][step]") {
    DebugRig rig;
    rig.vcpu->step_once();
    rig.cpu.instruction(1, [](arch::Vmcb& v, GuestGprs&) { v.state.rflags = rflags::kCarry; }); // POPF
    CHECK(rig.run().kind == ExitKind::SingleStep);
    CHECK((rig.cpu.entry().intercept_instructions1 & svm::kFlagsIntercepts) == 0);
    CHECK(rig.vcpu->read(Reg::Rflags) == rflags::kCarry);
    // The IRET that ends an NMI exits first.
    rig.vcpu->inject({Event::Type::Nmi, 2, false, 0});
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.vcpu->step_once();
    rig.cpu.exit(x::kIret);
    rig.cpu.instruction(0, [](arch::Vmcb& v, GuestGprs&) { v.state.rip = 0x900; });
    CHECK(rig.run().kind == ExitKind::SingleStep);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) != 0);
    CHECK(rig.vcpu->can_take_nmi());
}

TEST_CASE("a stepped guest that steps itself gets its #DB behind the step", "[svm][step]") {
    DebugRig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kTrap);
    rig.vcpu->step_once();
    rig.cpu.instruction(1);
    CHECK(rig.run().kind == ExitKind::SingleStep);
    CHECK(rig.trap_flag()); // its own
    auto const entries = rig.cpu.entries.size();
    CHECK(rig.debug() == kBs);
    CHECK(rig.cpu.entries.size() == entries);
    rig.vcpu->write(Reg::Rflags, 0);
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
}

TEST_CASE("a breakpoint met by a step is reported, once", "[svm][step]") {
    for (bool const silicon : {false, true}) {
        DebugRig rig{silicon};
        auto const step = [&](u64 flags, u64 dr7, u64 address) {
            rig.vcpu->arm_breakpoints({.address = {address, address}, .dr7 = dr7});
            rig.vcpu->write(Reg::Rip, 0x1000);
            rig.vcpu->write(Reg::Rflags, flags);
            rig.vcpu->step_once();
            rig.cpu.instruction(2, {}, 0x8000);
        };
        INFO((silicon ? "processor" : "emulator"));
        // The data it writes: it has run.
        step(0, kData0, 0x8000);
        CHECK(rig.debug() == 1);
        CHECK(rig.rip() == 0x1002);
        CHECK_FALSE(rig.trap_flag());
        // The same, and the guest steps itself.
        step(rflags::kTrap, kData0, 0x8000);
        CHECK(rig.debug() == (1 | kBs));
        CHECK(rig.trap_flag());
        // The instruction itself: it has not run.
        step(0, kCode1, 0x1000);
        CHECK(rig.debug() == 2);
        CHECK(rig.rip() == 0x1000);
        CHECK_FALSE(rig.trap_flag());
        // Told to resume it is stepped.
        step(rflags::kResume, kCode1, 0x1000);
        CHECK(rig.run().kind == ExitKind::SingleStep);
        CHECK(rig.rip() == 0x1002);
        // The next one: not yet.
        step(0, kCode1, 0x1002);
        CHECK(rig.run().kind == ExitKind::SingleStep);
        rig.cpu.instruction(1);
        CHECK(rig.debug() == 2);
        CHECK(rig.rip() == 0x1002);
    }
}

TEST_CASE("a step ends a shadow, and a window that waits for that opens", "[svm][step]") {
    DebugRig rig;
    rig.stop_in_shadow();
    rig.vcpu->request_interrupt_window(true);
    rig.vcpu->step_once();
    rig.cpu.instruction(1);
    CHECK(rig.run().kind == ExitKind::SingleStep);
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry().interrupt_control & arch::svm::interrupt_control::kVirtualIrq) != 0);
}

TEST_CASE("a code breakpoint on the instruction in a shadow leaves the shadow", "[svm][window]") {
    DebugRig rig;
    rig.stop_in_shadow();
    u64 const here = rig.rip();
    rig.vcpu->arm_breakpoints({.address = {here}, .dr7 = kCode0});
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.instruction(1);
    CHECK(rig.debug() == 1);
    CHECK_FALSE(rig.trap_flag());
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt | rflags::kResume);
    rig.cpu.instruction(1);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
}

TEST_CASE("a window step that hits data reports that, and the window after it", "[svm][window]") {
    DebugRig rig;
    rig.stop_in_shadow();
    rig.vcpu->arm_breakpoints({.address = {0x8000}, .dr7 = kData0});
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.instruction(1, {}, 0x8000);
    CHECK(rig.debug() == 1);
    CHECK(rig.vcpu->can_take_interrupt());
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
}

TEST_CASE("what waits for delivery can be seen", "[svm][events]") {
    DebugRig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    auto const waits = [&](Event::Type type, u8 number) {
        auto const waiting = rig.vcpu->waiting_event();
        return waiting.has_value() && waiting->type == type && waiting->vector == number;
    };
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
    rig.vcpu->inject(interrupt(0x61));
    CHECK(waits(Event::Type::External, 0x61));
    rig.cpu.exit_before_delivery = true;
    rig.cpu.exit(x::kIntr);
    rig.run();
    CHECK(waits(Event::Type::External, 0x61)); // V_IRQ was not taken
    rig.cpu.exit(x::kNestedPageFault, 0x2'0000'0006, 0x3000,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.exit_interrupt_info = 0x8000'0061; });
    rig.run();
    CHECK(waits(Event::Type::External, 0x61)); // its frame could not be pushed
    u32 kicked = 1;
    rig.vcpu->kicked = &kicked;
    rig.run();
    CHECK(waits(Event::Type::External, 0x61));
    kicked = 0;
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
    rig.vcpu->inject({Event::Type::Nmi, 2, false, 0});
    CHECK(waits(Event::Type::Nmi, 2));
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.vcpu->inject(fault(14));
    rig.vcpu->inject(fault(13));
    CHECK(waits(Event::Type::Exception, 8));
    rig.vcpu->inject(fault(13));
    CHECK_FALSE(rig.vcpu->waiting_event().has_value()); // a triple fault delivers nothing
    CHECK(rig.run().kind == ExitKind::TripleFault);
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
}
