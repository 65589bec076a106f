// SPDX-License-Identifier: Apache-2.0
// A processor with SVM for tests. It runs no instructions: each world switch plays the next scripted exit.
// What it does model is what the emulators do not: it caches the groups of a VMCB whose clean bits are set,
// and it tags translations with the ASID, so that a forgotten clean bit or flush is seen. Breakpoints are
// those of the emulator, or with `silicon` a processor's.
#pragma once
#include "hv/arch/svm.hpp"
#include "hv/arch/vmcb.hpp"
#include "hv/svm/npt_map.hpp"
#include "hv/svm/world_switch.hpp"
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hv::test {
class FakeSvmCpu {
  public:
    using Guest = std::function<void(arch::Vmcb&, GuestGprs&)>;

    FakeSvmCpu();

    /// The one that the calling "CPU" is.
    static FakeSvmCpu* current;
    void become_current() { current = this; }

    /// The next world switch ends with this exit; @p guest may change state on the way.
    void exit(u64 code, u64 info1 = 0, u64 info2 = 0, Guest guest = {});
    /// The next VMRUN is refused the way the emulator does it: with the host's state in the save area.
    void refuse();
    /// Plays the instruction at RIP, which writes the byte at @p writes: #DB before it by a code breakpoint,
    /// or after it by the trap flag or a data breakpoint. There must be one.
    void instruction(u8 bytes, Guest effect = {}, u64 writes = kNothing);
    static constexpr u64 kNothing = ~0ull;

    /// @param dr7 of the host when it came to VMRUN; none: not written at all
    u32 run(GuestGprs&, arch::Vmcb&, u64 vmcb_at, u64 host_vmcb_at, u32 kicked, std::optional<u64> dr7);

    bool silicon = false; ///< VMCB.DR7 enables breakpoints, not what the host wrote before VMRUN
    u64 dr[4] = {};
    unsigned dr_writes = 0;                       ///< of DR0 … DR3 together
    std::vector<std::optional<u64>> host_dr7;     ///< of each entry
    static constexpr u64 kOwn = 0x7fff'8000'0000; ///< the hypervisor's 2 MiB

    std::map<u32, arch::CpuidResult> cpuid;
    u64 vm_cr = 0, efer = 0xd00, host_save_area = 0;
    u64 cr3 = 0x7777'7000, tsc_aux = 0xbad;
    svm::NptMap const* map = nullptr; ///< whose generation translations are tagged with

    /// The VMCB as each entry found it.
    std::vector<arch::Vmcb> entries;
    /// The vector that the last entry delivered as a virtual interrupt (not a window), or 0.
    u8 delivered_interrupt() const {
        namespace ic = arch::svm::interrupt_control;
        auto const& c = entry();
        bool const window = (c.intercept_instructions1 & arch::svm::intercept1::kVintr) != 0;
        bool const asked = (c.interrupt_control & ic::kVirtualIrq) != 0 && !window;
        return asked ? static_cast<u8>(ic::VirtualVector::get(c.interrupt_control)) : u8{0};
    }
    bool exit_before_delivery = false; ///< the next entry exits before it takes a virtual interrupt
    arch::VmcbControl const& entry() const { return entries.back().control; }
    arch::VmcbState const& entry_state() const { return entries.back().state; }
    std::vector<std::string> wrong; ///< rules broken: must stay empty
    unsigned host_states_saved = 0;

  private:
    u64 points_at(u64 address, bool data) const;
    void check_clean_groups(arch::Vmcb const&, u64 vmcb_at);
    void check_translations(arch::VmcbControl const&, u64 vmcb_at);

    struct Tag {
        u64 vmcb_at;
        u64 generation;
    };
    std::deque<Guest> script_;
    u64 enabled_ = 0; ///< DR7 that counts for the present entry
    std::map<u64, arch::Vmcb> cached_;
    std::map<u32, Tag> translations_; ///< by ASID
};
} // namespace hv::test
