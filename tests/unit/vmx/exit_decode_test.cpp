// SPDX-License-Identifier: Apache-2.0
// Exit fields, hand-made or as Bochs left them, and the neutral exits they stand for.
#include "hv/vmx/exit_decode.hpp"
#include <catch2/catch.hpp>
#include <map>

using namespace hv;
using namespace hv::vmx;
using arch::vmx::ExitReason;

namespace {
/// A VMCS after an exit: fields by encoding. Reading one that was not given is counted, and so is each read.
struct RawVmxExit {
    ExitReason reason;
    std::map<u32, u64> fields;
    mutable std::map<u32, int> reads;
    mutable int unknown = 0;

    template <class T>
    T read(arch::VmcsField<T> field) const {
        ++reads[field.encoding];
        auto const found = fields.find(field.encoding);
        unknown += found == fields.end();
        u64 const value = found == fields.end() ? 0 : found->second;
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(value);
        } else {
            return T{value};
        }
    }
};
namespace f = arch::vmcs;
constexpr u32 kQualification = f::exit_qualification.encoding;
constexpr u32 kLength = f::vm_exit_instruction_length.encoding;
constexpr u32 kGpa = f::guest_physical_address.encoding;

Exit decode(RawVmxExit const& raw) {
    Exit exit;
    decode_exit(static_cast<u32>(raw.reason), raw, exit);
    CHECK(raw.unknown == 0);
    for (auto const& [encoding, count] : raw.reads) {
        INFO("field " << encoding);
        CHECK(count == 1);
    }
    return exit;
}
} // namespace

TEST_CASE("instruction exits carry the instruction's length and read nothing else", "[vmx]") {
    struct {
        ExitReason reason;
        ExitKind kind;
        u64 bytes;
    } const cases[] = {
        {ExitReason::Cpuid, ExitKind::Cpuid, 2},
        {ExitReason::Vmcall, ExitKind::Hypercall, 3},
        {ExitReason::Rdmsr, ExitKind::MsrRead, 2},
        {ExitReason::Wrmsr, ExitKind::MsrWrite, 2},
        {ExitReason::Hlt, ExitKind::Halt, 1},
        {ExitReason::Xsetbv, ExitKind::Xsetbv, 3},
        {ExitReason::Wbinvd, ExitKind::CacheControl, 2},
        {ExitReason::Invd, ExitKind::CacheControl, 2},
        {ExitReason::Rdpmc, ExitKind::InvalidOpcode, 2},
        {ExitReason::Vmxon, ExitKind::InvalidOpcode, 5},
        {ExitReason::Mwait, ExitKind::InvalidOpcode, 3},
        {ExitReason::Getsec, ExitKind::InvalidOpcode, 2},
        {ExitReason::Monitor, ExitKind::InvalidOpcode, 3},
        {ExitReason::Invvpid, ExitKind::InvalidOpcode, 6},
    };
    for (auto const& c : cases) {
        RawVmxExit const raw{c.reason, {{kLength, c.bytes}}, {}, 0};
        Exit const exit = decode(raw);
        INFO("reason " << static_cast<u32>(c.reason));
        CHECK(exit.kind == c.kind);
        CHECK(exit.instruction_bytes == c.bytes);
    }
}

TEST_CASE("events of the host and the guest carry no length", "[vmx]") {
    struct {
        ExitReason reason;
        ExitKind kind;
    } const cases[] = {
        {ExitReason::ExternalInterrupt, ExitKind::HostEvent},
        {ExitReason::PreemptionTimer, ExitKind::HostEvent},
        {ExitReason::InterruptWindow, ExitKind::InterruptWindow},
        {ExitReason::TripleFault, ExitKind::TripleFault},
        {ExitReason::MonitorTrapFlag, ExitKind::SingleStep},
    };
    for (auto const& c : cases) {
        RawVmxExit const raw{c.reason, {}, {}, 0};
        Exit const exit = decode(raw);
        CHECK(exit.kind == c.kind);
        CHECK(exit.instruction_bytes == 0);
    }
}

TEST_CASE("port instructions", "[vmx]") {
    // out 0x8900, al as Bochs reports it: DX form, one byte
    Exit const out = decode({ExitReason::Io, {{kQualification, 0x8900'0000}, {kLength, 1}}, {}, 0});
    CHECK(out.kind == ExitKind::Io);
    CHECK(out.io.port == 0x8900);
    CHECK(out.io.size_bytes == 1);
    CHECK_FALSE(out.io.in);
    CHECK_FALSE(out.io.string);
    CHECK_FALSE(out.io.repeat);
    // rep insd from 0x1f0
    Exit const ins = decode({ExitReason::Io, {{kQualification, 0x01f0'003b}, {kLength, 3}}, {}, 0});
    CHECK(ins.io.port == 0x1f0);
    CHECK(ins.io.size_bytes == 4);
    CHECK(ins.io.in);
    CHECK(ins.io.string);
    CHECK(ins.io.repeat);
    // in ax, 0x60: immediate form
    Exit const in = decode({ExitReason::Io, {{kQualification, 0x0060'0049}, {kLength, 3}}, {}, 0});
    CHECK(in.io.port == 0x60);
    CHECK(in.io.size_bytes == 2);
    CHECK(in.io.in);
    CHECK_FALSE(in.io.string);
}

TEST_CASE("control and debug registers", "[vmx]") {
    Exit const to_cr4 = decode({ExitReason::ControlRegister, {{kQualification, 0x804}, {kLength, 4}}, {}, 0});
    CHECK(to_cr4.kind == ExitKind::ControlRegister);
    CHECK(to_cr4.control.decoded);
    CHECK(to_cr4.control.control == 4);
    CHECK(to_cr4.control.kind == ControlRegisterExit::Kind::MovTo);
    CHECK(static_cast<Reg>(to_cr4.control.gpr) == Reg::R8);
    Exit const from_cr8 =
        decode({ExitReason::ControlRegister, {{kQualification, 0x718}, {kLength, 4}}, {}, 0});
    CHECK(from_cr8.control.control == 8);
    CHECK(from_cr8.control.kind == ControlRegisterExit::Kind::MovFrom);
    CHECK(static_cast<Reg>(from_cr8.control.gpr) == Reg::Rdi);
    Exit const clts = decode({ExitReason::ControlRegister, {{kQualification, 0x20}, {kLength, 2}}, {}, 0});
    CHECK(clts.control.kind == ControlRegisterExit::Kind::Clts);
    Exit const lmsw =
        decode({ExitReason::ControlRegister, {{kQualification, 0xfff1'0030}, {kLength, 3}}, {}, 0});
    CHECK(lmsw.control.kind == ControlRegisterExit::Kind::Lmsw);
    CHECK(lmsw.control.lmsw_source == 0xfff1);

    Exit const to_dr7 = decode({ExitReason::MovDr, {{kQualification, 0x007}, {kLength, 3}}, {}, 0});
    CHECK(to_dr7.kind == ExitKind::DebugRegister);
    CHECK(to_dr7.debug.number == 7);
    CHECK(to_dr7.debug.write);
    CHECK(static_cast<Reg>(to_dr7.debug.gpr) == Reg::Rax);
    Exit const from_dr6 = decode({ExitReason::MovDr, {{kQualification, 0x316}, {kLength, 3}}, {}, 0});
    CHECK(from_dr6.debug.number == 6);
    CHECK_FALSE(from_dr6.debug.write);
    CHECK(static_cast<Reg>(from_dr6.debug.gpr) == Reg::Rbx);
}

TEST_CASE("EPT violations", "[vmx]") {
    auto const fault = [](u64 qualification) {
        Exit const exit =
            decode({ExitReason::EptViolation, {{kQualification, qualification}, {kGpa, 0x12'3456}}, {}, 0});
        CHECK(exit.kind == ExitKind::NestedFault);
        CHECK(exit.instruction_bytes == 0);
        CHECK(exit.fault.gpa == Gpa{0x12'3456});
        return exit.fault;
    };
    SECTION("a write to nothing") {
        NestedFaultExit const e = fault(0x182);
        CHECK(e.access == Access::W);
        CHECK_FALSE(e.present);
        CHECK_FALSE(e.during_walk);
    }
    SECTION("a fetch from a page without execute permission") {
        NestedFaultExit const e = fault(0x19c);
        CHECK(e.access == Access::X);
        CHECK(e.present);
    }
    SECTION("a walk: the SDM says read and write, Bochs says write") {
        for (u64 qualification : {0x83u, 0x82u}) {
            NestedFaultExit const e = fault(qualification);
            CHECK(e.access == Access::W);
            CHECK(e.during_walk);
        }
    }
    SECTION("no linear address, so no walk either: a PDPTE load") {
        NestedFaultExit const e = fault(0x001);
        CHECK(e.access == Access::R);
        CHECK_FALSE(e.during_walk);
    }
}

TEST_CASE("what nothing should cause is Unknown with the vendor's number", "[vmx]") {
    Exit const exit = decode({ExitReason::TaskSwitch, {{kQualification, 0x4000'0028}}, {}, 0});
    CHECK(exit.kind == ExitKind::Unknown);
    CHECK(exit.unknown.code == 9);
    CHECK(exit.unknown.info == 0x4000'0028);
    CHECK(decode({ExitReason::EptMisconfiguration, {{kQualification, 0}}, {}, 0}).kind == ExitKind::Unknown);
}
