// SPDX-License-Identifier: Apache-2.0
// Control negotiation against captured capability MSRs and against processors that lack one thing.
#include "hv/vmx/controls.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace hv;
using namespace hv::vmx;
using namespace hv::arch::vmx;
using Kind = ControlWish::Kind;

namespace {
/// Bochs 2.7, model broadwell_ult, as read from its MSRs.
Capabilities broadwell() {
    Capabilities caps;
    caps.basic = 0x00d8'1000'0000'002b;
    caps.pin = 0x0000'007f'0000'0016;
    caps.primary = 0xf7f9'fffe'0400'6172;
    caps.secondary = 0x0005'7fff'0000'0000;
    caps.exit = 0x007f'ffff'0003'6dfb;
    caps.entry = 0x0000'ffff'0000'11fb;
    caps.misc = 0x2004'01e0;
    caps.ept_vpid = 0x0f01'0633'4141;
    caps.cr0_fixed0 = 0x8000'0021;
    caps.cr0_fixed1 = 0xffff'ffff;
    caps.cr4_fixed0 = 0x2000;
    caps.cr4_fixed1 = 0x37'27ff;
    return caps;
}
void forbid(u64& capability, u64 bits) {
    capability &= ~(bits << 32);
}
/// Answers the capability MSRs of broadwell(); counts what else is read.
struct FakeCpu {
    std::map<u32, u64> msrs;
    int unknown = 0;
    u64 rdmsr(u32 index) {
        auto const found = msrs.find(index);
        unknown += found == msrs.end();
        return found == msrs.end() ? 0 : found->second;
    }
    void wrmsr(u32, u64) {}
};
} // namespace

TEST_CASE("negotiate sets what is needed on top of what must be 1", "[vmx]") {
    ControlWish const wishes[] = {{0x4, Kind::Needed, "four"}, {0x8, Kind::Optional, "eight"}};
    ControlChoice const both = negotiate(wishes, 0x0000'000f'0000'0002);
    CHECK(both.missing.empty());
    CHECK(both.word == 0xe);
    ControlChoice const without_optional = negotiate(wishes, 0x0000'0007'0000'0002);
    CHECK(without_optional.missing.empty());
    CHECK(without_optional.word == 0x6);
    CHECK(negotiate(wishes, 0x0000'000b'0000'0002).missing == "four");
}

TEST_CASE("a dynamic control must be settable and clear, a forbidden one not fixed to 1", "[vmx]") {
    ControlWish const dynamic[] = {{0x4, Kind::Dynamic, "four"}};
    CHECK(negotiate(dynamic, 0x0000'0004'0000'0000).word == 0);
    CHECK(negotiate(dynamic, 0x0000'0000'0000'0000).missing == "four");
    CHECK(negotiate(dynamic, 0x0000'0004'0000'0004).missing == "four");
    ControlWish const forbidden[] = {{0x4, Kind::Forbidden, "four"}};
    CHECK(negotiate(forbidden, 0x0000'0004'0000'0000).missing.empty());
    CHECK(negotiate(forbidden, 0x0000'0004'0000'0004).missing == "four");
}

TEST_CASE("the Bochs test bed gets every control we want and nothing that must stay off", "[vmx]") {
    ControlsOrMissing const chosen = choose_controls(broadwell());
    REQUIRE(chosen.missing == "");
    Controls const& c = chosen.controls;
    CHECK(c.pin == 0x7f);
    CHECK(c.primary == 0xb598'6dfa);
    CHECK(c.secondary == 0x10ea);
    CHECK(c.revision == 0x2b);
    CHECK(c.has_timer);
    CHECK(c.has_vpid);
    CHECK(c.has_pat);
    CHECK(c.has_rdtscp);
    CHECK(c.ept_accessed_dirty);
    CHECK_FALSE(c.has_monitor_trap);
    CHECK(primary::Cr3LoadExiting::get(c.primary) == 0);
    CHECK(primary::MonitorTrapFlag::get(c.primary) == 0);
    CHECK(primary::InterruptWindowExiting::get(c.primary) == 0);
    CHECK(entry_control::Ia32eModeGuest::get(c.entry) == 0);
    CHECK(Bits<15>::get(c.exit) == 0);     // acknowledge interrupt on exit
    CHECK(Bits<9>::get(c.secondary) == 0); // virtual-interrupt delivery
    CHECK(Bits<10>::get(c.entry) == 0);    // entry to SMM
}

TEST_CASE("what CPUID does not show the guest does not get", "[vmx]") {
    Capabilities caps = broadwell();
    caps.secondary |= Bits<20>::mask << 32; // enable XSAVES/XRSTORS
    CHECK(choose_controls(caps).controls.secondary == 0x10ea);
}

TEST_CASE("Bochs 3.0 adds the monitor trap flag, which stays clear until a step", "[vmx]") {
    Capabilities caps = broadwell();
    caps.primary |= primary::MonitorTrapFlag::mask << 32;
    ControlsOrMissing const chosen = choose_controls(caps);
    CHECK(chosen.controls.has_monitor_trap);
    CHECK(chosen.controls.primary == 0xb598'6dfa);
}

TEST_CASE("each needed feature is missed by its name in the manual", "[vmx]") {
    auto const missing = [](auto&& take_away) {
        Capabilities caps = broadwell();
        take_away(caps);
        return std::string{choose_controls(caps).missing};
    };
    CHECK(missing([](auto& c) { forbid(c.secondary, secondary::EnableEpt::mask); }) == "enable EPT");
    CHECK(missing([](auto& c) { forbid(c.secondary, secondary::UnrestrictedGuest::mask); }) ==
          "unrestricted guest");
    CHECK(missing([](auto& c) { forbid(c.primary, primary::ActivateSecondaryControls::mask); }) ==
          "activate secondary controls");
    CHECK(missing([](auto& c) { forbid(c.primary, primary::UseMsrBitmaps::mask); }) == "use MSR bitmaps");
    CHECK(missing([](auto& c) { forbid(c.primary, primary::HltExiting::mask); }) == "HLT exiting");
    CHECK(missing([](auto& c) { forbid(c.pin, pin::NmiExiting::mask); }) == "NMI exiting");
    CHECK(missing([](auto& c) { forbid(c.pin, pin::VirtualNmis::mask); }) == "virtual NMIs");
    CHECK(missing([](auto& c) { forbid(c.exit, exit_control::LoadEfer::mask); }) == "VM-exit load IA32_EFER");
    CHECK(missing([](auto& c) { forbid(c.entry, entry_control::LoadEfer::mask); }) ==
          "VM-entry load IA32_EFER");
    CHECK(missing([](auto& c) { c.primary |= primary::Cr3LoadExiting::mask; }) == "CR3-load exiting = 0");
    CHECK(missing([](auto& c) { c.basic &= ~basic::TrueControls::mask; }) == "IA32_VMX_TRUE_* control MSRs");
    CHECK(missing([](auto& c) { c.ept_vpid &= ~ept_vpid::WalkLength4::mask; }) == "EPT page-walk length 4");
    CHECK(missing([](auto& c) { c.ept_vpid &= ~ept_vpid::WriteBack::mask; }) == "EPT memory type WB");
    CHECK(missing([](auto& c) { c.ept_vpid &= ~ept_vpid::Page2M::mask; }) == "EPT 2-MByte pages");
    CHECK(missing([](auto& c) { c.ept_vpid &= ~ept_vpid::Page1G::mask; }) == "EPT 1-GByte pages");
    CHECK(missing([](auto& c) { c.ept_vpid &= ~ept_vpid::Invept::mask; }) == "INVEPT");
    CHECK(missing([](auto& c) { c.misc &= ~misc::StoresLma::mask; }).find("EFER.LMA") != std::string::npos);
    CHECK(missing([](auto& c) { c.basic = basic::MemoryType::set(c.basic, 0); }) == "VMCS memory type WB");
}

TEST_CASE("optional features go together or not at all", "[vmx]") {
    SECTION("VPID without INVVPID is not used") {
        Capabilities caps = broadwell();
        caps.ept_vpid &= ~ept_vpid::Invvpid::mask;
        Controls const c = choose_controls(caps).controls;
        CHECK_FALSE(c.has_vpid);
        CHECK(secondary::EnableVpid::get(c.secondary) == 0);
    }
    SECTION("PAT is switched at entry and exit, or never") {
        Capabilities caps = broadwell();
        forbid(caps.entry, entry_control::LoadPat::mask);
        Controls const c = choose_controls(caps).controls;
        CHECK_FALSE(c.has_pat);
        CHECK(exit_control::LoadPat::get(c.exit) == 0);
        CHECK(exit_control::SavePat::get(c.exit) == 0);
    }
    SECTION("a preemption timer that is not saved at exits is not used") {
        Capabilities caps = broadwell();
        forbid(caps.exit, exit_control::SavePreemptionTimer::mask);
        Controls const c = choose_controls(caps).controls;
        CHECK_FALSE(c.has_timer);
        CHECK(pin::ActivatePreemptionTimer::get(c.pin) == 0);
    }
}

TEST_CASE("capabilities come from the TRUE MSRs, and EPT's only where there is EPT", "[vmx]") {
    Capabilities const want = broadwell();
    FakeCpu cpu{{{IA32_VMX_BASIC, want.basic},
                 {IA32_VMX_MISC, want.misc},
                 {IA32_VMX_CR0_FIXED0, want.cr0_fixed0},
                 {IA32_VMX_CR0_FIXED1, want.cr0_fixed1},
                 {IA32_VMX_CR4_FIXED0, want.cr4_fixed0},
                 {IA32_VMX_CR4_FIXED1, want.cr4_fixed1},
                 {IA32_VMX_TRUE_PINBASED_CTLS, want.pin},
                 {IA32_VMX_TRUE_PROCBASED_CTLS, want.primary},
                 {IA32_VMX_TRUE_EXIT_CTLS, want.exit},
                 {IA32_VMX_TRUE_ENTRY_CTLS, want.entry},
                 {IA32_VMX_PROCBASED_CTLS2, want.secondary},
                 {IA32_VMX_EPT_VPID_CAP, want.ept_vpid}}};
    CHECK(choose_controls(read_capabilities(cpu)).controls == choose_controls(want).controls);
    CHECK(cpu.unknown == 0);

    forbid(cpu.msrs[IA32_VMX_PROCBASED_CTLS2], secondary::EnableEpt::mask);
    cpu.msrs.erase(IA32_VMX_EPT_VPID_CAP); // reading it would fault
    CHECK(choose_controls(read_capabilities(cpu)).missing == "enable EPT");
    CHECK(cpu.unknown == 0);

    cpu.msrs[IA32_VMX_BASIC] &= ~basic::TrueControls::mask;
    for (u32 index : {IA32_VMX_TRUE_PINBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS, IA32_VMX_PROCBASED_CTLS2}) {
        cpu.msrs.erase(index);
    }
    CHECK(choose_controls(read_capabilities(cpu)).missing == "IA32_VMX_TRUE_* control MSRs");
    CHECK(cpu.unknown == 0);
}
