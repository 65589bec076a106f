// SPDX-License-Identifier: Apache-2.0
// On a processor that does not save the next RIP, the second exit at a place brings the instruction's length
// along.
#include "hv/core/decode/length_decoder.hpp"
#include "hv/core/vcpu_view.hpp"
#include "tests/unit/decode/fakes.hpp"
#include "tests/unit/svm/rig.hpp"

using namespace hv;
using namespace hv::test;
namespace x = hv::arch::svm::exit;

namespace {
/// A guest in flat protected mode at a CPUID whose length the core has found out.
struct Bed {
    static constexpr u64 kRip = 0x8000;
    static constexpr u16 kCode = 0xc9b;
    Rig rig;
    FakeMemory memory;
    decode::LengthDecoder lengths;

    Bed() {
        memory.code(kRip, {0x0f, 0xa2});
        rig.vcpu->lengths = &lengths;
        rig.vcpu->write(Seg::Cs, {0x10, kCode, 0xffff'ffff, 0});
        rig.vcpu->write(Reg::Rip, kRip);
        CHECK(exit(x::kCpuid) == 0); // the first time nobody knows
        learn(ExitKind::Cpuid);
    }
    /// Another exit, for which the guest has done @p change.
    u8 exit(
        u64 code, void (*change)(arch::VmcbState&) = [](arch::VmcbState&) {}) {
        rig.cpu.exit(code, 0, 0, [change](arch::Vmcb& v, GuestGprs&) { change(v.state); });
        return rig.run().instruction_bytes;
    }
    void learn(ExitKind kind) {
        VcpuView view{*rig.vcpu};
        auto const at = decode::code_address(view, kind, rig.map->generation());
        REQUIRE(lengths.length(view, memory, at).ok());
    }
};
} // namespace

TEST_CASE("the second exit at a place has its length", "[svm][run]") {
    Bed bed;
    CHECK(bed.exit(x::kCpuid) == 2);
    CHECK(bed.exit(x::kCpuid) == 2);
}

TEST_CASE("a length is not another place's, mode's or code's", "[svm][run]") {
    Bed bed;
    bed.exit(x::kCpuid);
    REQUIRE(bed.exit(x::kCpuid) == 2);
    SECTION("another kind of exit") {
        CHECK(bed.exit(x::kHlt) == 0);
    }
    SECTION("another RIP") {
        CHECK(bed.exit(x::kCpuid, [](arch::VmcbState& s) { s.rip += 16; }) == 0);
    }
    SECTION("another address space") {
        CHECK(bed.exit(x::kCpuid, [](arch::VmcbState& s) { s.cr3 = 0x5000; }) == 0);
    }
    SECTION("another kind of code segment") {
        CHECK(bed.exit(x::kCpuid, [](arch::VmcbState& s) { s.cs.attributes = 0xa9b; }) == 0);
    }
    SECTION("bits of the segment that nobody defines do not count") {
        CHECK(bed.exit(x::kCpuid, [](arch::VmcbState& s) { s.cs.attributes |= 0xf000; }) == 2);
    }
    SECTION("other bytes") {
        bed.memory.code(Bed::kRip, {0xf3, 0x90});
        CHECK(bed.exit(x::kCpuid) == 0);
    }
    SECTION("memory that may have moved") {
        auto const mapped = bed.rig.map->map(Gpa{0x9000}, Hpa{0x7000}, kPageBytes, Access::RWX);
        REQUIRE(mapped.ok());
        REQUIRE(bed.rig.map->unmap(Gpa{0x9000}, kPageBytes).ok());
        CHECK(bed.exit(x::kCpuid) == 0);
        CHECK(bed.exit(x::kCpuid) == 0);
    }
}
