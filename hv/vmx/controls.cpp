// SPDX-License-Identifier: Apache-2.0
#include "hv/vmx/controls.hpp"

namespace hv::vmx {
namespace {
using namespace arch::vmx;
using Kind = ControlWish::Kind;

constexpr ControlWish kPin[] = {
    {pin::ExternalInterruptExiting::mask, Kind::Needed, "external-interrupt exiting"},
    {pin::NmiExiting::mask, Kind::Needed, "NMI exiting"},
    {pin::VirtualNmis::mask, Kind::Needed, "virtual NMIs"},
    {pin::ActivatePreemptionTimer::mask, Kind::Optional, "activate VMX-preemption timer"},
};
constexpr ControlWish kPrimary[] = {
    {primary::ActivateSecondaryControls::mask, Kind::Needed, "activate secondary controls"},
    {primary::InterruptWindowExiting::mask, Kind::Dynamic, "interrupt-window exiting"},
    {primary::UseTscOffsetting::mask, Kind::Needed, "use TSC offsetting"},
    {primary::HltExiting::mask, Kind::Needed, "HLT exiting"},
    {primary::MwaitExiting::mask, Kind::Needed, "MWAIT exiting"},
    {primary::RdpmcExiting::mask, Kind::Needed, "RDPMC exiting"},
    {primary::Cr3LoadExiting::mask, Kind::Forbidden, "CR3-load exiting = 0"},
    {primary::Cr3StoreExiting::mask, Kind::Forbidden, "CR3-store exiting = 0"},
    {primary::Cr8LoadExiting::mask, Kind::Needed, "CR8-load exiting"},
    {primary::Cr8StoreExiting::mask, Kind::Needed, "CR8-store exiting"},
    {primary::MovDrExiting::mask, Kind::Needed, "MOV-DR exiting"},
    {primary::UnconditionalIoExiting::mask, Kind::Needed, "unconditional I/O exiting"},
    {primary::UseMsrBitmaps::mask, Kind::Needed, "use MSR bitmaps"},
    {primary::MonitorExiting::mask, Kind::Needed, "MONITOR exiting"},
};
constexpr ControlWish kSecondary[] = {
    {secondary::EnableEpt::mask, Kind::Needed, "enable EPT"},
    {secondary::UnrestrictedGuest::mask, Kind::Needed, "unrestricted guest"},
    {secondary::EnableRdtscp::mask, Kind::Optional, "enable RDTSCP"},
    {secondary::EnableVpid::mask, Kind::Optional, "enable VPID"},
    {secondary::WbinvdExiting::mask, Kind::Optional, "WBINVD exiting"},
    {secondary::EnableInvpcid::mask, Kind::Optional, "enable INVPCID"},
};
constexpr ControlWish kExit[] = {
    {exit_control::HostAddressSpaceSize::mask, Kind::Needed, "host address-space size"},
    {exit_control::SaveDebugControls::mask, Kind::Needed, "save debug controls"},
    // The guest flips CR0.PG without an exit, so the CPU changes EFER.LMA and must tell.
    {exit_control::SaveEfer::mask, Kind::Needed, "save IA32_EFER"},
    {exit_control::LoadEfer::mask, Kind::Needed, "VM-exit load IA32_EFER"},
    {exit_control::SavePat::mask, Kind::Optional, "save IA32_PAT"},
    {exit_control::LoadPat::mask, Kind::Optional, "VM-exit load IA32_PAT"},
    {exit_control::SavePreemptionTimer::mask, Kind::Optional, "save VMX-preemption timer value"},
};
constexpr ControlWish kEntry[] = {
    {entry_control::LoadDebugControls::mask, Kind::Needed, "load debug controls"},
    {entry_control::Ia32eModeGuest::mask, Kind::Dynamic, "IA-32e mode guest"},
    {entry_control::LoadEfer::mask, Kind::Needed, "VM-entry load IA32_EFER"},
    {entry_control::LoadPat::mask, Kind::Optional, "VM-entry load IA32_PAT"},
};

/// The capabilities that are single bits of IA32_VMX_BASIC, IA32_VMX_MISC and IA32_VMX_EPT_VPID_CAP.
std::string_view missing_capability(Capabilities const& caps) {
    struct {
        bool there;
        std::string_view name;
    } const needed[] = {
        {misc::StoresLma::get(caps.misc) != 0, "VM exit stores EFER.LMA into \"IA-32e mode guest\""},
        {ept_vpid::WalkLength4::get(caps.ept_vpid) != 0, "EPT page-walk length 4"},
        {ept_vpid::WriteBack::get(caps.ept_vpid) != 0, "EPT memory type WB"},
        {ept_vpid::Page2M::get(caps.ept_vpid) != 0, "EPT 2-MByte pages"},
        {ept_vpid::Page1G::get(caps.ept_vpid) != 0, "EPT 1-GByte pages"},
        {ept_vpid::Invept::get(caps.ept_vpid) != 0 &&
             (ept_vpid::InveptSingle::get(caps.ept_vpid) | ept_vpid::InveptAll::get(caps.ept_vpid)) != 0,
         "INVEPT"},
        {basic::RegionBytes::get(caps.basic) <= kPageBytes, "VMCS region within 4 KBytes"},
        {basic::MemoryType::get(caps.basic) == basic::kWriteBack, "VMCS memory type WB"},
    };
    for (auto const& capability : needed) {
        if (!capability.there) {
            return capability.name;
        }
    }
    return {};
}
} // namespace

ControlsOrMissing choose_controls(Capabilities const& caps) {
    if (basic::TrueControls::get(caps.basic) == 0) {
        return {{}, "IA32_VMX_TRUE_* control MSRs"};
    }
    ControlChoice const pin_choice = negotiate(kPin, caps.pin);
    ControlChoice const primary_choice = negotiate(kPrimary, caps.primary);
    ControlChoice const secondary_choice = negotiate(kSecondary, caps.secondary);
    ControlChoice const exit_choice = negotiate(kExit, caps.exit);
    ControlChoice const entry_choice = negotiate(kEntry, caps.entry);
    for (ControlChoice const* choice :
         {&pin_choice, &primary_choice, &secondary_choice, &exit_choice, &entry_choice}) {
        if (!choice->missing.empty()) {
            return {{}, choice->missing};
        }
    }
    if (std::string_view const name = missing_capability(caps); !name.empty()) {
        return {{}, name};
    }

    Controls c;
    c.pin = pin_choice.word;
    c.primary = primary_choice.word;
    c.secondary = secondary_choice.word;
    c.exit = exit_choice.word;
    c.entry = entry_choice.word;
    c.revision = static_cast<u32>(basic::Revision::get(caps.basic));
    c.timer_shift = static_cast<u8>(misc::TimerRate::get(caps.misc));
    c.has_timer =
        pin::ActivatePreemptionTimer::get(c.pin) != 0 && exit_control::SavePreemptionTimer::get(c.exit) != 0;
    if (!c.has_timer) {
        c.pin &= ~static_cast<u32>(pin::ActivatePreemptionTimer::mask);
        c.exit &= ~static_cast<u32>(exit_control::SavePreemptionTimer::mask);
    }
    c.has_monitor_trap = primary::MonitorTrapFlag::get(primary_choice.settable) != 0;
    c.has_rdtscp = secondary::EnableRdtscp::get(c.secondary) != 0;
    c.ept_accessed_dirty = ept_vpid::AccessedDirty::get(caps.ept_vpid) != 0;
    c.invept_single = ept_vpid::InveptSingle::get(caps.ept_vpid) != 0;
    c.invvpid_single = ept_vpid::InvvpidSingle::get(caps.ept_vpid) != 0;
    bool const can_invvpid = ept_vpid::Invvpid::get(caps.ept_vpid) != 0 &&
                             (c.invvpid_single || ept_vpid::InvvpidAll::get(caps.ept_vpid) != 0);
    if (!can_invvpid) {
        c.secondary &= ~static_cast<u32>(secondary::EnableVpid::mask);
    }
    c.has_vpid = secondary::EnableVpid::get(c.secondary) != 0;
    // PAT is switched by all three controls or not at all.
    constexpr u64 kExitPat = exit_control::SavePat::mask | exit_control::LoadPat::mask;
    c.has_pat = (c.exit & kExitPat) == kExitPat && entry_control::LoadPat::get(c.entry) != 0;
    if (!c.has_pat) {
        c.exit &= ~static_cast<u32>(kExitPat);
        c.entry &= ~static_cast<u32>(entry_control::LoadPat::mask);
    }
    c.cr0_fixed0 = caps.cr0_fixed0;
    c.cr0_fixed1 = caps.cr0_fixed1;
    c.cr4_fixed0 = caps.cr4_fixed0;
    c.cr4_fixed1 = caps.cr4_fixed1;
    return {c, {}};
}
} // namespace hv::vmx
