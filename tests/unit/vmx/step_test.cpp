// SPDX-License-Identifier: Apache-2.0
// step_once() on processors with and without a monitor trap flag.
#include "tests/unit/vmx/rig.hpp"

using namespace hv;
using namespace hv::test;

namespace {
constexpr FakeVmxCpu::Model kExact{true, false}, kByTrapFlag{false, false}, kBochs27{false, true};
constexpr FakeVmxCpu::Model kModels[] = {kExact, kByTrapFlag, kBochs27};
constexpr u64 kMonitorTrap = arch::vmx::primary::MonitorTrapFlag::mask;
constexpr u64 kWindow = arch::vmx::primary::InterruptWindowExiting::mask;

/// Nothing of a step is left: the next run() is an ordinary one.
void check_clean(Rig& rig, bool trap_flag = false) {
    CHECK(rig.trap_flag() == trap_flag);
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    auto const& entry = rig.cpu.entry();
    CHECK((entry[vf::primary_controls] & kMonitorTrap) == 0);
    CHECK(entry[vf::exception_bitmap] == (1u << 1 | 1u << 17 | 1u << 18));
    CHECK((entry[vf::guest_rflags] & rflags::kTrap) == (trap_flag ? rflags::kTrap : 0));
}
} // namespace

TEST_CASE("one instruction is stepped and leaves nothing behind", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        CHECK(rig.vcpu->steps_exactly() == model.monitor_trap);
        rig.cpu.instruction(3);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        CHECK(rig.rip() == 0x1003);
        CHECK(rig.vcpu->waiting_event() == std::nullopt);
        CHECK(rig.vcpu->can_take_interrupt());
        check_clean(rig);
    }
}

TEST_CASE("a guest that steps itself gets its #DB behind ours", "[vmx][step]") {
    for (auto const& [model, again] : {std::pair{kExact, false},
                                       {kExact, true},
                                       {kByTrapFlag, false},
                                       {kByTrapFlag, true},
                                       {kBochs27, false},
                                       {kBochs27, true}}) {
        Rig rig{model};
        rig.set_trap_flag();
        rig.cpu.instruction(1);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        CHECK_FALSE(rig.vcpu->can_take_interrupt());
        CHECK_FALSE(rig.vcpu->can_take_nmi());
        CHECK(is_debug(again ? rig.step() : rig.run(), kStepBit)); // before anything else
        CHECK(rig.rip() == 0x1001);
        check_clean(rig, true);
    }
}

TEST_CASE("a breakpoint that the stepped instruction hits ends the step in its own name", "[vmx][step]") {
    for (auto const& model : kModels) {
        for (bool guests_flag : {false, true}) {
            Rig rig{model};
            rig.vcpu->arm_breakpoints({{0x5000, 0, 0, 0}, 0x400 | 0x1'0000 | 1});
            if (guests_flag) {
                rig.set_trap_flag();
            }
            rig.cpu.instruction(4, kBreak0);
            CHECK(is_debug(rig.step(), kBreak0 | (guests_flag ? kStepBit : 0)));
            CHECK(rig.rip() == 0x1004);
            check_clean(rig, guests_flag); // and no second report
        }
    }
}

TEST_CASE("a breakpoint on the instruction to be stepped is reported, nothing has run", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.cpu.exception(0x301, kBreak1);
        CHECK(is_debug(rig.step(), kBreak1));
        CHECK(rig.rip() == 0x1000);
        check_clean(rig);
    }
}

TEST_CASE("a condition of a breakpoint that is off is no hit", "[vmx][step]") {
    Rig rig{kExact};
    rig.cpu.exit(Reason::MonitorTrapFlag, 0, 0, [](FakeVmxCpu& cpu) {
        cpu.set(vf::guest_pending_debug_exceptions, kBreak1); // without "enabled breakpoint"
    });
    CHECK(rig.step().kind == ExitKind::SingleStep);
    check_clean(rig);
}

TEST_CASE("an exception that the stepped instruction raises waits, and RIP is still on it", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.cpu.exception(0xb0e, 0xdead'0000, 0, 2);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        auto const waiting = rig.vcpu->waiting_event();
        REQUIRE(waiting.has_value());
        CHECK(waiting->vector == vector::kPageFault);
        CHECK(waiting->error_code == 2);
        CHECK(rig.vcpu->read(ControlReg::Cr2) == 0xdead'0000);
        CHECK(rig.rip() == 0x1000);
        CHECK_FALSE(rig.trap_flag()); // no frame shows it
        CHECK_FALSE(rig.vcpu->can_take_interrupt());
        check_clean(rig);
        CHECK(rig.injected() == 0x8000'0b0e);
        CHECK((rig.cpu.entry()[vf::guest_rflags] & rflags::kResume) != 0);
    }
}

TEST_CASE("one that the core asked for is the core's", "[vmx][step]") {
    Rig rig;
    rig.vcpu->intercept_exceptions(1u << vector::kGeneralProtection);
    rig.cpu.exception(0xb0d, 0, 0, 0x18);
    Exit const& exit = rig.step();
    CHECK(exit.kind == ExitKind::Exception);
    CHECK(exit.exception.vector == vector::kGeneralProtection);
    CHECK(exit.exception.error_code == 0x18);
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
}

TEST_CASE("with a monitor trap the delivery of an event is a step", "[vmx][step]") {
    Rig rig{kExact};
    rig.vcpu->inject({Event::Type::Exception, vector::kGeneralProtection, true, 0});
    rig.cpu.delivery(0x8000);
    CHECK(rig.step().kind == ExitKind::SingleStep);
    CHECK(rig.injected() == 0x8000'0b0d);
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
    CHECK(rig.rip() == 0x8000);
    SECTION("INT3 is delivered in the step of itself") {
        rig.cpu.exit(Reason::MonitorTrapFlag);
        rig.step();
        CHECK((rig.cpu.entry()[vf::exception_bitmap] & (1u << 3 | 1u << 4)) == 0);
    }
}

TEST_CASE("INT3 stepped by the trap flag waits with its length", "[vmx][step]") {
    Rig rig{kByTrapFlag};
    rig.cpu.exception(0x603, 0, 2); // CD 03
    CHECK(rig.step().kind == ExitKind::SingleStep);
    CHECK(rig.vcpu->waiting_event()->vector == vector::kBreakpoint);
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    rig.run();
    CHECK(rig.injected() == 0x8000'0603);
    CHECK(rig.cpu.entry()[vf::vm_entry_instruction_length] == 2);
}

TEST_CASE("what exits by itself ends the step, and completing it is the guest's own trap", "[vmx][step]") {
    for (auto const& model : kModels) {
        for (bool guests_flag : {false, true}) {
            Rig rig{model};
            if (guests_flag) {
                rig.set_trap_flag();
            }
            rig.cpu.exit(Reason::Cpuid, 0, 2);
            CHECK(rig.step().kind == ExitKind::Cpuid);
            rig.vcpu->advance(2);
            CHECK(rig.vcpu->can_take_nmi() == !guests_flag);
            if (guests_flag) {
                CHECK(is_debug(rig.run(), kStepBit));
            }
            check_clean(rig, guests_flag);
        }
    }
}

TEST_CASE("an exit before the instruction has run takes the step back; it is asked for again",
          "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.cpu.exit(Reason::ExternalInterrupt);
        CHECK(rig.step().kind == ExitKind::HostEvent);
        rig.cpu.exit(Reason::EptViolation, 0x184);
        CHECK(rig.step().kind == ExitKind::NestedFault);
        rig.cpu.exception(0x202);
        CHECK(rig.step().kind == ExitKind::HostEvent);
        CHECK(rig.cpu.nmis_handled == 1);
        rig.cpu.instruction(2);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        CHECK(rig.rip() == 0x1002);
        rig.cpu.exit(Reason::EptViolation, 0x184);
        rig.step();
        check_clean(rig);
    }
}

TEST_CASE("of a step that a kick turned back nothing is left", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.kicked = 1;
        CHECK(rig.step().kind == ExitKind::HostEvent);
        rig.kicked = 0;
        if (!model.monitor_trap) { // the guest's own step is not taken for ours
            rig.set_trap_flag();
            rig.cpu.instruction(1);
            CHECK(is_debug(rig.run(), kStepBit));
        }
        check_clean(rig, !model.monitor_trap);
    }
}

TEST_CASE("the interrupt shadow outlives what comes before the stepped instruction", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.cpu.exit(Reason::EptViolation, 0x184, 0,
                     [](FakeVmxCpu& cpu) { cpu.set(vf::guest_interruptibility_state, 1); });
        rig.run();
        rig.vcpu->request_interrupt_window(true);
        rig.cpu.exit(Reason::PreemptionTimer);
        CHECK(rig.step().kind == ExitKind::HostEvent);
        CHECK_FALSE(rig.vcpu->can_take_interrupt()); // STI; HLT must not be torn apart
        bool const open = (rig.cpu.entry()[vf::primary_controls] & kWindow) != 0;
        bool const shadow = (rig.cpu.entry()[vf::guest_interruptibility_state] & 1) != 0;
        CHECK(open == shadow); // a window without the shadow would open before the instruction
        rig.cpu.instruction(1);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        CHECK(rig.vcpu->can_take_interrupt());
        rig.cpu.exit(Reason::InterruptWindow);
        CHECK(rig.run().kind == ExitKind::InterruptWindow);
        CHECK((rig.cpu.entry()[vf::primary_controls] & kWindow) != 0);
    }
}

TEST_CASE("behind MOV SS the guest's trap is not due yet", "[vmx][step]") {
    Rig rig{kExact};
    rig.set_trap_flag();
    rig.cpu.exit(Reason::MonitorTrapFlag, 0, 0, [](FakeVmxCpu& cpu) {
        cpu.set(vf::guest_rip, 0x1002);
        cpu.set(vf::guest_interruptibility_state, 2);
        cpu.set(vf::guest_pending_debug_exceptions, kStepBit);
    });
    CHECK(rig.step().kind == ExitKind::SingleStep);
    rig.cpu.instruction(3);
    CHECK(rig.step().kind == ExitKind::SingleStep); // not the #DB
    CHECK(rig.rip() == 0x1005);
    CHECK(is_debug(rig.run(), kStepBit));
}

TEST_CASE("a control register write that is finished here is still the stepped instruction", "[vmx][step]") {
    for (auto const& model : kModels) {
        Rig rig{model};
        rig.vcpu->gprs[Reg::Rax] = rig.vcpu->read(ControlReg::Cr4) | cr4::kMce;
        rig.cpu.exit(Reason::ControlRegister, 0x004, 3); // MOV CR4, RAX
        rig.cpu.instruction(3);
        CHECK(rig.step().kind == ExitKind::SingleStep);
        CHECK(rig.rip() == 0x1003);
        CHECK((rig.vcpu->read(ControlReg::Cr4) & cr4::kMce) != 0);
        check_clean(rig);
    }
}
