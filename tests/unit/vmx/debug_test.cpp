// SPDX-License-Identifier: Apache-2.0
// #DB, breakpoints and the guest's own single-stepping.
#include "tests/unit/vmx/rig.hpp"

using namespace hv;
using namespace hv::test;

TEST_CASE("every #DB comes out with its causes and is not delivered here", "[vmx][debug]") {
    Rig rig;
    rig.cpu.exception(0x301, kBreak1);
    CHECK(is_debug(rig.run(), kBreak1));
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
    rig.cpu.exception(0x301, kStepBit | 0x9ff0); // bits that are not causes
    CHECK(is_debug(rig.run(), kStepBit));
    SECTION("the core injects the guest's") {
        rig.vcpu->inject(exception(vector::kDebug));
        rig.cpu.exit(Reason::Cpuid);
        rig.run();
        CHECK(rig.injected() == 0x8000'0301);
    }
}

TEST_CASE("INT1 has no causes, and its handler returns behind it", "[vmx][debug]") {
    Rig rig;
    rig.cpu.exception(0x501, kBreak0, 1); // an emulator tells old breakpoints with it
    Exit const& exit = rig.run();
    CHECK(is_debug(exit, 0));
    CHECK(exit.instruction_bytes == 1);
    rig.vcpu->inject(exception(vector::kDebug));
    rig.cpu.exit(Reason::Cpuid);
    rig.run();
    CHECK(rig.injected() == 0x8000'0501);
    CHECK(rig.cpu.entry()[vf::vm_entry_instruction_length] == 1);
    SECTION("the next #DB is an ordinary one again") {
        rig.cpu.exception(0x301, kBreak0);
        rig.run();
        rig.vcpu->inject(exception(vector::kDebug));
        rig.cpu.exit(Reason::Cpuid);
        rig.run();
        CHECK(rig.injected() == 0x8000'0301);
    }
}

TEST_CASE("an instruction completed for a guest that single-steps raises its #DB before all else",
          "[vmx][debug]") {
    for (bool stale : {false, true}) {
        Rig rig{{.monitor_trap = true, .saves_stale_step = stale}};
        rig.set_trap_flag();
        rig.cpu.exit(Reason::Cpuid, 0, 2);
        REQUIRE(rig.run().kind == ExitKind::Cpuid);
        rig.vcpu->advance(2);
        CHECK_FALSE(rig.vcpu->can_take_interrupt());
        CHECK_FALSE(rig.vcpu->can_take_nmi());
        usize const entries = rig.cpu.entries.size();
        CHECK(is_debug(rig.run(), kStepBit));
        CHECK(rig.cpu.entries.size() == entries); // nothing has run
        CHECK(rig.rip() == 0x1002);
        CHECK(rig.vcpu->can_take_interrupt());
        CHECK(rig.vcpu->can_take_nmi());
        rig.vcpu->inject(exception(vector::kDebug));
        rig.cpu.exit(Reason::Cpuid, 0, 2);
        rig.run();
        CHECK(rig.injected() == 0x8000'0301);
        CHECK(rig.cpu.entry()[vf::guest_pending_debug_exceptions] == 0);
    }
}

TEST_CASE("exits before the instruction has run leave no #DB of the trap flag behind", "[vmx][debug]") {
    Rig rig{{.monitor_trap = true, .saves_stale_step = true}};
    rig.set_trap_flag();
    rig.cpu.exit(Reason::EptViolation, 0x181);
    rig.cpu.exit(Reason::PreemptionTimer);
    rig.cpu.exception(0x301, kBreak0); // the debugger's: swallowed
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    CHECK(rig.run().kind == ExitKind::NestedFault);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(is_debug(rig.run(), kBreak0));
    CHECK(rig.run().kind == ExitKind::Cpuid);
    // The fake processor says what is wrong with an entry that has a #DB pending.
}

TEST_CASE("breakpoints are in the debug registers exactly while they are armed and loaded", "[vmx][debug]") {
    Rig rig;
    CHECK(rig.cpu.debug_register_writes == 0); // making, loading and resetting one without breakpoints
    HardwareBreakpoints const wanted{{0x1000, 0x2000, 0x3000, 0x4000}, 0x400 | 0x3 | 1u << 13};
    rig.vcpu->arm_breakpoints(wanted);
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    rig.run();
    CHECK(rig.cpu.entry()[vf::guest_dr7] == 0x403); // general detection stays off: MOV DR exits anyway
    for (unsigned i = 0; i < 4; ++i) {
        CHECK(rig.cpu.entry().dr[i] == wanted.address[i]);
    }
    unsigned const writes = rig.cpu.debug_register_writes;
    vmx::VmxVcpu* const other = rig.make_vcpu(2);
    other->load();
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    other->run(~0ull);
    CHECK(rig.cpu.entry()[vf::guest_dr7] == 0x400);
    CHECK(rig.cpu.debug_register_writes == writes);

    rig.cpu.dr[2] = 0; // as another's breakpoints would
    rig.vcpu->load();
    CHECK(rig.cpu.dr[2] == 0x3000);
    SECTION("and on another processor") {
        rig.vcpu->unload();
        rig.cpu.dr[2] = 0;
        rig.vcpu->load();
        CHECK(rig.cpu.dr[2] == 0x3000);
    }
    SECTION("disarmed, they cost nothing") {
        rig.vcpu->arm_breakpoints({});
        unsigned const before = rig.cpu.debug_register_writes;
        rig.vcpu->unload();
        rig.vcpu->load();
        rig.cpu.exit(Reason::Cpuid, 0, 2);
        rig.run();
        CHECK(rig.cpu.entry()[vf::guest_dr7] == 0x400);
        CHECK(rig.cpu.debug_register_writes == before);
    }
    rig.vcpu->unload();
    rig.backend.destroy(other, rig.frames);
}

TEST_CASE("an event whose delivery an exit interrupted is seen waiting, the guest's INT n as an exception",
          "[vmx][debug]") {
    Rig rig;
    rig.cpu.exit(Reason::EptViolation, 0x182, 0, [](FakeVmxCpu& cpu) {
        cpu.set(vf::idt_vectoring_information, 0x8000'0480);
        cpu.set(vf::vm_exit_instruction_length, 2);
    });
    Exit const& exit = rig.run();
    REQUIRE(exit.kind == ExitKind::NestedFault);
    CHECK(exit.fault.during_delivery);
    auto const waiting = rig.vcpu->waiting_event();
    REQUIRE(waiting.has_value());
    CHECK(waiting->type == Event::Type::Exception);
    CHECK(waiting->vector == 0x80);
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    rig.run();
    CHECK(rig.injected() == 0x8000'0480);
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
    rig.cpu.set(vf::idt_vectoring_information, 0);
    rig.cpu.exit(Reason::EptViolation, 0x182);
    CHECK_FALSE(rig.run().fault.during_delivery);
}

TEST_CASE("nothing waits after three faults in a row", "[vmx][debug]") {
    Rig rig;
    rig.vcpu->inject({Event::Type::Exception, vector::kDoubleFault, true, 0});
    rig.vcpu->inject({Event::Type::Exception, vector::kGeneralProtection, true, 0});
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
    CHECK(rig.run().kind == ExitKind::TripleFault);
    CHECK(rig.vcpu->waiting_event() == std::nullopt);
}

TEST_CASE("#AC that nobody asked for is handed back when the core has looked at its clock", "[vmx][debug]") {
    Rig rig;
    rig.cpu.exception(0xb11);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK(rig.injected() == 0x8000'0b11);
}

TEST_CASE("machine checks are reported, never the guest's", "[vmx][debug]") {
    for (bool const stepping : {false, true}) {
        Rig rig;
        rig.cpu.exception(0x312);
        Exit const& exit = stepping ? rig.step() : rig.run();
        CHECK(exit.kind == ExitKind::Exception);
        CHECK(exit.exception.vector == vector::kMachineCheck);
        CHECK(rig.vcpu->waiting_event() == std::nullopt);
    }
}

TEST_CASE("interrupts that are switched off behind STI end its shadow", "[vmx][debug]") {
    Rig rig;
    rig.cpu.exit(Reason::EptViolation, 0x184, 0,
                 [](FakeVmxCpu& cpu) { cpu.set(vf::guest_interruptibility_state, 1); });
    rig.run();
    SECTION("while they stay on it lasts") {
        rig.vcpu->write(Reg::Rflags, rflags::kInterrupt | rflags::kZero);
        rig.cpu.exit(Reason::Cpuid, 0, 2);
        rig.run();
        CHECK(rig.cpu.entry()[vf::guest_interruptibility_state] == 1);
    }
    SECTION("VM entry refuses it with IF clear") {
        rig.vcpu->write(Reg::Rflags, 0);
        rig.cpu.exit(Reason::Cpuid, 0, 2);
        rig.run();
        CHECK(rig.cpu.entry()[vf::guest_interruptibility_state] == 0);
    }
}

TEST_CASE("a kick before the entry turns it back with nothing lost", "[vmx][kick]") {
    Rig rig;
    rig.cpu.exit(Reason::Cpuid, 0, 2);
    SECTION("at the first entry, which is a launch") {
        rig.kicked = 1;
        CHECK(rig.run().kind == ExitKind::HostEvent);
        CHECK(rig.cpu.entries.empty());
        rig.kicked = 0;
        CHECK(rig.run().kind == ExitKind::Cpuid);
    }
    SECTION("with an interrupt on its way") {
        rig.vcpu->inject(interrupt(0x30));
        rig.kicked = 1;
        CHECK(rig.run().kind == ExitKind::HostEvent);
        REQUIRE(rig.vcpu->waiting_event().has_value());
        CHECK(rig.vcpu->waiting_event()->vector == 0x30);
        CHECK_FALSE(rig.vcpu->can_take_interrupt());
        rig.kicked = 0;
        SECTION("it is delivered at the next entry") {
            rig.run();
            CHECK(rig.injected() == 0x8000'0030);
        }
        SECTION("or what replaces it") {
            rig.vcpu->inject({Event::Type::Exception, vector::kGeneralProtection, true, 8});
            rig.run();
            CHECK(rig.injected() == 0x8000'0b0d);
            CHECK(rig.cpu.entry()[vf::vm_entry_exception_error_code] == 8);
        }
    }
    SECTION("with a step asked for: it is to be asked for again") {
        rig.kicked = 1;
        CHECK(rig.step().kind == ExitKind::HostEvent);
        rig.kicked = 0;
        CHECK(rig.run().kind == ExitKind::Cpuid);
        CHECK((rig.cpu.entry()[vf::primary_controls] & arch::vmx::primary::MonitorTrapFlag::mask) == 0);
    }
}
