// SPDX-License-Identifier: Apache-2.0
// Injection, re-delivery, interrupt windows, shadows, NMIs and reflected exceptions.
#include "tests/unit/svm/rig.hpp"

using namespace hv;
using namespace hv::test;
namespace x = hv::arch::svm::exit;
namespace i1 = hv::arch::svm::intercept1;
namespace ic = hv::arch::svm::interrupt_control;

TEST_CASE("an event is injected once", "[svm][events]") {
    Rig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    REQUIRE(rig.vcpu->can_take_interrupt());
    rig.vcpu->inject(interrupt(0x61));
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.cpu.exit(x::kCpuid);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.delivered_interrupt() == 0x61);
    CHECK(rig.vcpu->can_take_interrupt());
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0);
    CHECK(rig.cpu.delivered_interrupt() == 0);
}

TEST_CASE("an interrupt that an exit came before is delivered at the next entry", "[svm][events]") {
    Rig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    rig.vcpu->inject(interrupt(0x61));
    rig.cpu.exit_before_delivery = true;
    rig.cpu.exit(x::kIntr);
    rig.cpu.exit(x::kCpuid);
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(rig.cpu.delivered_interrupt() == 0x61);
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.run();
    CHECK(rig.cpu.delivered_interrupt() == 0x61);
    CHECK(rig.vcpu->can_take_interrupt());
    rig.run();
    CHECK(rig.cpu.delivered_interrupt() == 0);
}

TEST_CASE("a delivery that faulted in nested paging starts again", "[svm][events]") {
    Rig rig;
    rig.vcpu->inject({Event::Type::Exception, 14, true, 0x2});
    rig.cpu.exit(x::kNestedPageFault, 0x2'0000'0006, 0x3000,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.exit_interrupt_info = 0x2'8000'0b0e; });
    CHECK(rig.run().kind == ExitKind::NestedFault);
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x2'8000'0b0e);
}

TEST_CASE("a hardware delivery interrupted on the short way is not lost either", "[svm][events]") {
    Rig rig;
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.cpu.exit(x::kNestedPageFault, 0x2'0000'0006, 0x3000,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.exit_interrupt_info = 0x8000'0306; });
    rig.run();
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'0306);
}

TEST_CASE("real mode has no error codes", "[svm][events]") {
    Rig rig;
    rig.vcpu->write(ControlReg::Cr0, 0);
    rig.vcpu->inject(fault(13));
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'030d);
    rig.vcpu->write(ControlReg::Cr0, cr0::kPe);
    rig.vcpu->inject({Event::Type::Exception, 13, true, 0x18});
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x18'8000'0b0d);
}

TEST_CASE("a fault on top of an interrupted fault is a double fault, on top of that a shutdown",
          "[svm][events]") {
    Rig rig;
    rig.vcpu->inject(fault(11));
    rig.vcpu->inject(fault(13));
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'0b08);
    rig.vcpu->inject(fault(8));
    rig.vcpu->inject(fault(13));
    auto const entries = rig.cpu.entries.size();
    CHECK(rig.run().kind == ExitKind::TripleFault);
    CHECK(rig.cpu.entries.size() == entries);
}

TEST_CASE("the window is a virtual interrupt that only exits", "[svm][window]") {
    Rig rig;
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kVintr, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.state.rflags |= rflags::kInterrupt; });
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    CHECK(rig.vcpu->can_take_interrupt());
    rig.vcpu->inject(interrupt(0x60));
    rig.vcpu->request_interrupt_window(false);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.delivered_interrupt() == 0x60);
}

TEST_CASE("a window that is not cancelled opens again after the interrupt it let in", "[svm][window]") {
    Rig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kVintr, 0, 0, [](arch::Vmcb& v, GuestGprs&) {
        v.control.interrupt_control &= ~ic::kVirtualIrq; // should a processor clear it
    });
    REQUIRE(rig.run().kind == ExitKind::InterruptWindow);
    rig.vcpu->inject(interrupt(0x60));
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    CHECK(rig.cpu.delivered_interrupt() == 0x60);
}

TEST_CASE("a window that opens during a delivery waits for the delivery", "[svm][window]") {
    Rig rig;
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt);
    rig.vcpu->request_interrupt_window(true);
    rig.vcpu->inject(fault(14));
    rig.cpu.exit(x::kVintr, 0, 0,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.exit_interrupt_info = 0x8000'0b0e; });
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK(rig.cpu.entry().event_injection == 0x8000'0b0e);
}

TEST_CASE("a window stays asked for over other exits until cancelled", "[svm][window]") {
    Rig rig;
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kCpuid);
    rig.cpu.exit(x::kCpuid);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    rig.run();
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    rig.vcpu->request_interrupt_window(false);
    rig.run();
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) == 0);
}

TEST_CASE("in a shadow no virtual interrupt is used: one instruction is stepped", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.instruction(3);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) == 0);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) != 0);
    CHECK_FALSE(rig.trap_flag());
    CHECK(rig.vcpu->can_take_interrupt());
    rig.vcpu->request_interrupt_window(false);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry().intercept_instructions1 & svm::kFlagsIntercepts) == 0);
    CHECK(rig.cpu.entry().intercept_exceptions == svm::kAlwaysInterceptedExceptions);
}

TEST_CASE("HLT in the shadow of STI is seen before the interrupt", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kHlt); // the emulator dropped the shadow at VMRUN
    CHECK(rig.run().kind == ExitKind::Halt);
    CHECK_FALSE(rig.trap_flag());
    CHECK_FALSE(rig.vcpu->can_take_interrupt()); // but nothing has run, so it holds
    rig.vcpu->advance(1);
    CHECK(rig.vcpu->can_take_interrupt());
    rig.vcpu->request_interrupt_window(false);
}

TEST_CASE("a host interrupt between STI and HLT does not end the shadow", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.cpu.exit(x::kIntr, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.control.interrupt_state = 0; });
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK_FALSE(rig.vcpu->can_take_interrupt());
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kIntr, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.control.interrupt_state = 0; });
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK_FALSE(rig.trap_flag());
    rig.cpu.instruction(1);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    rig.vcpu->inject(interrupt(0x60));
    rig.vcpu->request_interrupt_window(false);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.delivered_interrupt() == 0x60);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
}

TEST_CASE("when the stepped instruction clears IF the window waits on", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.instruction(1, [](arch::Vmcb& v, GuestGprs&) { v.state.rflags &= ~rflags::kInterrupt; });
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
}

TEST_CASE("a stepped instruction that faults pushes clean flags", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kException + 14, 0x6, 0xdead'b000);
    rig.cpu.exit(x::kCpuid);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(rig.run().kind == ExitKind::Cpuid);
    CHECK((rig.cpu.entries[1].control.intercept_exceptions & (1u << 14)) != 0);
    CHECK(rig.cpu.entry().event_injection == 0x6'8000'0b0e);
    CHECK(rig.cpu.entry_state().cr2 == 0xdead'b000);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    CHECK((rig.cpu.entry().intercept_exceptions & (1u << 14)) == 0);
}

TEST_CASE("PUSHF in the shadow gives up the shadow, not the flags", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kPushf, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.control.interrupt_state = 1; });
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    CHECK((rig.cpu.entry().intercept_instructions1 & svm::kFlagsIntercepts) == 0);
}

TEST_CASE("SYSCALL in the shadow gives up the shadow, and works then", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->write(StateMsr::IA32_EFER, efer::kSce);
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.exit(x::kException + 6, 0, 0, [](arch::Vmcb& v, GuestGprs&) {
        CHECK((v.state.efer & efer::kSce) == 0); // it would show our trap flag in R11
        v.control.interrupt_state = 1;
    });
    rig.cpu.exit(x::kVintr);
    CHECK(rig.run().kind == ExitKind::InterruptWindow);
    CHECK((rig.cpu.entry_state().efer & efer::kSce) != 0);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) == 0);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0);
    CHECK_FALSE(rig.vcpu->waiting_event().has_value());
}

TEST_CASE("a guest that single-steps itself keeps its trap", "[svm][window]") {
    Rig rig;
    rig.stop_in_shadow();
    rig.vcpu->write(Reg::Rflags, rflags::kInterrupt | rflags::kTrap);
    rig.vcpu->request_interrupt_window(true);
    rig.cpu.instruction(1);
    Exit const& exit = rig.run();
    REQUIRE(exit.kind == ExitKind::Exception);
    CHECK(exit.exception.vector == vector::kDebug);
    CHECK(exit.exception.address == 1u << 14);
    CHECK(rig.trap_flag());
    rig.vcpu->inject(fault(vector::kDebug));
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'0301);
    CHECK((rig.cpu.entry_state().rflags & rflags::kTrap) != 0);
    CHECK((rig.cpu.entry().interrupt_control & ic::kVirtualIrq) != 0); // the window was not forgotten
}

TEST_CASE("no second NMI before the first one's IRET has run", "[svm][events]") {
    Rig rig;
    REQUIRE(rig.vcpu->can_take_nmi());
    rig.vcpu->inject({Event::Type::Nmi, 2, false, 0});
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'0202);
    CHECK_FALSE(rig.vcpu->can_take_nmi());
    rig.cpu.exit(x::kIret, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.state.rip = 0x100; });
    rig.cpu.exit(x::kIntr);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK((rig.cpu.entries[1].control.intercept_instructions1 & i1::kIret) != 0);
    CHECK((rig.cpu.entry().intercept_instructions1 & i1::kIret) == 0);
    CHECK_FALSE(rig.vcpu->can_take_nmi()); // RIP is still on the IRET
    rig.cpu.exit(x::kCpuid, 0, 0, [](arch::Vmcb& v, GuestGprs&) { v.state.rip = 0x200; });
    rig.run();
    CHECK(rig.vcpu->can_take_nmi());
}

TEST_CASE("an NMI whose delivery was interrupted has not been delivered", "[svm][events]") {
    Rig rig;
    rig.vcpu->inject({Event::Type::Nmi, 2, false, 0});
    rig.cpu.exit(x::kNestedPageFault, 0x1'0000'0006, 0,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.exit_interrupt_info = 0x8000'0202; });
    CHECK(rig.run().fault.during_delivery);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK(rig.cpu.entry().event_injection == 0x8000'0202);
}

TEST_CASE("#AC that nobody asked for is the guest's, when the core has looked at its clock; machine checks "
          "never are",
          "[svm][events]") {
    Rig rig;
    rig.cpu.exit(x::kException + 17, 0);
    CHECK(rig.run().kind == ExitKind::HostEvent);
    CHECK(rig.cpu.entries.size() == 1);
    rig.cpu.exit(x::kException + 18);
    Exit const& exit = rig.run();
    CHECK(rig.cpu.entries[1].control.event_injection == 0x8000'0b11);
    CHECK(exit.kind == ExitKind::Exception);
    CHECK(exit.exception.vector == 18);
}

TEST_CASE("exceptions the core asked for come with code and address", "[svm][events]") {
    Rig rig;
    rig.vcpu->intercept_exceptions(1u << 14);
    rig.cpu.exit(x::kException + 14, 0x7, 0x1234);
    Exit const& fault_exit = rig.run();
    REQUIRE(fault_exit.kind == ExitKind::Exception);
    CHECK(fault_exit.exception.vector == 14);
    CHECK(fault_exit.exception.has_error_code);
    CHECK(fault_exit.exception.error_code == 7);
    CHECK(fault_exit.exception.address == 0x1234);
    CHECK(rig.vcpu->read(ControlReg::Cr2) == 0);
    rig.cpu.exit(x::kCpuid);
    rig.run();
    CHECK((rig.cpu.entry().intercept_exceptions & (1u << 14)) != 0);
}
