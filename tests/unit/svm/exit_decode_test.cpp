// SPDX-License-Identifier: Apache-2.0
// Exits as QEMU 7.2 and the manual give them, decoded.
#include "hv/svm/exit_decode.hpp"
#include <catch2/catch.hpp>
#include <memory>

using namespace hv;
using namespace hv::svm;
namespace x = hv::arch::svm::exit;

namespace {
struct Decoded {
    Exit exit;
    ExitClass what;
};
Decoded decode_one(u64 code, u64 info1 = 0, u64 info2 = 0, SvmFeatures const& features = {}, u64 rip = 0x1000,
                   u64 next_rip = 0) {
    auto vmcb = std::make_unique<arch::Vmcb>();
    vmcb->control.exit_code = code;
    vmcb->control.exit_info1 = info1;
    vmcb->control.exit_info2 = info2;
    vmcb->control.next_rip = next_rip;
    vmcb->state.rip = rip;
    Decoded d;
    d.exit.kind = ExitKind::Unknown;
    d.exit.instruction_bytes = 99;
    d.what = decode_exit(*vmcb, features, d.exit);
    return d;
}
} // namespace

TEST_CASE("REP INSB from port 60h as captured", "[svm][exit]") {
    auto const [exit, what] = decode_one(x::kIo, 0x60001d, 0x1002);
    REQUIRE(what == ExitClass::Report);
    REQUIRE(exit.kind == ExitKind::Io);
    CHECK(exit.io.port == 0x60);
    CHECK(exit.io.size_bytes == 1);
    CHECK(exit.io.in);
    CHECK(exit.io.string);
    CHECK(exit.io.repeat);
    CHECK(exit.instruction_bytes == 2);
}

TEST_CASE("OUT of a word to port 61h as captured", "[svm][exit]") {
    auto const exit = decode_one(x::kIo, 0x610020, 0x1003).exit;
    CHECK(exit.io.port == 0x61);
    CHECK(exit.io.size_bytes == 2);
    CHECK_FALSE(exit.io.in);
    CHECK_FALSE(exit.io.string);
    CHECK_FALSE(exit.io.repeat);
    CHECK(exit.instruction_bytes == 3);
}

TEST_CASE("a next RIP that no instruction can have is no length", "[svm][exit]") {
    CHECK(decode_one(x::kIo, 0x610010, 0x1000).exit.instruction_bytes == 0);
    CHECK(decode_one(x::kIo, 0x610010, 0x1010).exit.instruction_bytes == 0);
    CHECK(decode_one(x::kIo, 0x610010, 0x0fff).exit.instruction_bytes == 0);
    CHECK(decode_one(x::kIo, 0x610010, 0x100f).exit.instruction_bytes == 15);
    SvmFeatures const nrip{.next_rip_save = true};
    CHECK(decode_one(x::kCpuid, 0, 0, nrip, 0x1000, 0x1002).exit.instruction_bytes == 2);
    CHECK(decode_one(x::kCpuid, 0, 0, nrip, 0x1000, 0).exit.instruction_bytes == 0);
    CHECK(decode_one(x::kCpuid, 0, 0, {}, 0x1000, 0x1002).exit.instruction_bytes == 0); // field not written
}

TEST_CASE("nested page faults tell access, presence and walks", "[svm][exit]") {
    auto const read = decode_one(x::kNestedPageFault, 0x1'0000'0004, 0x12345678).exit;
    REQUIRE(read.kind == ExitKind::NestedFault);
    CHECK(read.fault.gpa == Gpa{0x12345678});
    CHECK(read.fault.access == Access::R);
    CHECK_FALSE(read.fault.present);
    CHECK_FALSE(read.fault.during_walk);
    CHECK_FALSE(read.fault.during_delivery);
    CHECK(read.instruction_bytes == 0);

    auto const write = decode_one(x::kNestedPageFault, 0x1'0000'0007).exit;
    CHECK(write.fault.access == Access::W);
    CHECK(write.fault.present);

    auto const fetch = decode_one(x::kNestedPageFault, 0x1'0000'0014).exit;
    CHECK(fetch.fault.access == Access::X);
    CHECK_FALSE(fetch.fault.present);
    CHECK(decode_one(x::kNestedPageFault, 0x1'0000'0015).exit.fault.present);

    auto const walk = decode_one(x::kNestedPageFault, 0x2'0000'0006).exit;
    CHECK(walk.fault.during_walk);
    CHECK(walk.fault.access == Access::W);
}

TEST_CASE("a reserved bit in a nested entry is our bug, not a guest's fault", "[svm][exit]") {
    for (u64 const info : {0x1'0000'000eull, 0x1'0000'000dull}) { // the emulator's form and silicon's
        auto const exit = decode_one(x::kNestedPageFault, info).exit;
        CHECK(exit.kind == ExitKind::Unknown);
        CHECK(exit.unknown.code == 0x400);
        CHECK(exit.unknown.info == info);
    }
}

TEST_CASE("MSR exits tell the direction", "[svm][exit]") {
    CHECK(decode_one(x::kMsr, 0).exit.kind == ExitKind::MsrRead);
    CHECK(decode_one(x::kMsr, 1).exit.kind == ExitKind::MsrWrite);
    CHECK(decode_one(x::kMsr, 1, 0, {.next_rip_save = true}, 0x10, 0x12).exit.instruction_bytes == 2);
}

TEST_CASE("exits without details", "[svm][exit]") {
    CHECK(decode_one(0x72).exit.kind == ExitKind::Cpuid);
    CHECK(decode_one(0x78).exit.kind == ExitKind::Halt);
    CHECK(decode_one(0x81).exit.kind == ExitKind::Hypercall);
    CHECK(decode_one(0x8d).exit.kind == ExitKind::Xsetbv);
    CHECK(decode_one(0x76).exit.kind == ExitKind::CacheControl);
    CHECK(decode_one(0x89).exit.kind == ExitKind::CacheControl);
    CHECK(decode_one(0x7f).exit.kind == ExitKind::TripleFault);
    for (u64 const code : {0x6f, 0x73, 0x7a, 0x80, 0x82, 0x83, 0x84, 0x85, 0x86, 0x8a, 0x8b}) {
        CHECK(decode_one(code).exit.kind == ExitKind::InvalidOpcode);
    }
    CHECK(decode_one(0x72).exit.instruction_bytes == 0);
}

TEST_CASE("control register exits without decode assists name the register only", "[svm][exit]") {
    auto const cr4 = decode_one(0x14).exit;
    REQUIRE(cr4.kind == ExitKind::ControlRegister);
    CHECK_FALSE(cr4.control.decoded);
    CHECK(cr4.control.control == 4);
    CHECK(decode_one(x::kCr0SelectiveWrite).exit.control.control == 0);
    CHECK(decode_one(0x08).exit.control.kind == ControlRegisterExit::Kind::MovFrom);
}

TEST_CASE("decode assists name the general register, except for CLTS and LMSW", "[svm][exit]") {
    SvmFeatures const assists{.decode_assists = true};
    auto const mov = decode_one(0x14, 0x8000'0000'0000'0009, 0, assists).exit;
    CHECK(mov.control.decoded);
    CHECK(mov.control.gpr == 9);
    CHECK(mov.control.kind == ControlRegisterExit::Kind::MovTo);
    CHECK_FALSE(decode_one(x::kCr0SelectiveWrite, 0, 0, assists).exit.control.decoded);
    auto const dr = decode_one(0x37, 3, 0, assists).exit;
    REQUIRE(dr.kind == ExitKind::DebugRegister);
    CHECK(dr.debug.decoded);
    CHECK(dr.debug.number == 7);
    CHECK(dr.debug.write);
    CHECK(dr.debug.gpr == 3);
    CHECK_FALSE(decode_one(0x26).exit.debug.write);
    CHECK_FALSE(decode_one(0x26).exit.debug.decoded);
}

TEST_CASE("exits that are not the core's", "[svm][exit]") {
    CHECK(decode_one(0x60).what == ExitClass::HostEvent);
    CHECK(decode_one(0x61).what == ExitClass::HostEvent);
    CHECK(decode_one(0x62).what == ExitClass::HostEvent);
    CHECK(decode_one(0x64).what == ExitClass::VirtualIrq);
    CHECK(decode_one(0x41).what == ExitClass::Exception);
    CHECK(decode_one(0x74).what == ExitClass::FlagsInstruction);
    CHECK(decode_one(0xffff'ffff).what == ExitClass::Invalid);           // the emulator
    CHECK(decode_one(0xffff'ffff'ffff'ffff).what == ExitClass::Invalid); // silicon
}

TEST_CASE("every other code is Unknown and keeps its number", "[svm][exit]") {
    for (u64 const code : {0x66ull, 0x77ull, 0x7dull, 0xa2ull, 0xb0ull, 0x401ull, 0x403ull, ~0ull - 1}) {
        auto const [exit, what] = decode_one(code, 0x55);
        CHECK(what == ExitClass::Report);
        CHECK(exit.kind == ExitKind::Unknown);
        CHECK(exit.unknown.code == code);
        CHECK(exit.unknown.info == 0x55);
    }
}
