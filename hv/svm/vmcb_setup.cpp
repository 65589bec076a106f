// SPDX-License-Identifier: Apache-2.0
#include "hv/svm/vmcb_setup.hpp"
#include "hv/core/virt_backend.hpp"
#include "hv/svm/debug_causes.hpp"

namespace hv::svm {
namespace {
namespace i1 = arch::svm::intercept1;
namespace i2 = arch::svm::intercept2;
namespace i3 = arch::svm::intercept3;

// INT1 (ICEBP) is nothing to the #DB intercept, it has one of its own. TASK SWITCH is reported as Unknown:
// hardware task switching is for no guest that we boot. PAUSE stays with the guest: without the pause filter
// each one would exit.
constexpr u32 kInstructions1 = i1::kIntr | i1::kNmi | i1::kSmi | i1::kVintr | i1::kCr0SelectiveWrite |
                               i1::kRdpmc | i1::kCpuid | i1::kRsm | i1::kInvd | i1::kHlt | i1::kInvlpga |
                               i1::kIo | i1::kMsr | i1::kTaskSwitch | i1::kShutdown;
constexpr u32 kInstructions2 = i2::kVmrun | i2::kVmmcall | i2::kVmload | i2::kVmsave | i2::kStgi | i2::kClgi |
                               i2::kSkinit | i2::kIcebp | i2::kWbinvd | i2::kMonitor | i2::kMwait |
                               i2::kXsetbv;
constexpr u16 kCr4 = 1u << 4, kCr8 = 1u << 8, kAllDebugRegisters = 0xffff;
} // namespace

void set_up_control(arch::VmcbControl& c, SvmFeatures const& features, VmcbAddresses const& at, u32 asid) {
    namespace ic = arch::svm::interrupt_control;
    c.intercept_cr_read = kCr8;
    c.intercept_cr_write = kCr4 | kCr8;
    c.intercept_dr_read = kAllDebugRegisters;
    c.intercept_dr_write = kAllDebugRegisters;
    c.intercept_exceptions = kAlwaysInterceptedExceptions;
    c.intercept_instructions1 = kInstructions1;
    c.intercept_instructions2 = kInstructions2 | (features.rdpru ? i2::kRdpru : 0);
    c.intercept_instructions3 = (features.invlpgb ? i3::kInvlpgb | i3::kInvlpgbIllegal | i3::kTlbsync : 0) |
                                (features.mcommit ? i3::kMcommit : 0);
    c.iopm_base = at.io_map.raw;
    c.msrpm_base = at.msr_map.raw;
    c.asid = asid;
    c.interrupt_control = ic::kMasking | ic::kIgnoreTpr;
    c.nested_control = arch::svm::kNestedPagingEnable;
    c.nested_cr3 = at.nested_root.raw;
}

void set_reset_state(arch::VmcbState& s) {
    constexpr u16 kCode = 0x9b, kData = 0x93, kLdt = 0x82, kBusyTss = 0x8b;
    constexpr u32 kLimit = 0xffff;
    s = {};
    s.cs = {0xf000, kCode, kLimit, 0xffff'0000};
    s.ds = s.es = s.ss = s.fs = s.gs = {0, kData, kLimit, 0};
    s.gdtr = s.idtr = {0, 0, kLimit, 0};
    s.ldtr = {0, kLdt, kLimit, 0};
    s.tr = {0, kBusyTss, kLimit, 0};
    s.efer = efer::kSvme;
    s.cr0 = cr0::kEt;
    s.rip = 0xfff0;
    s.rflags = rflags::kReserved1;
    s.dr6 = dr6::kIdle;
    s.dr7 = HardwareBreakpoints::kNone;
    s.g_pat = 0x0007'0406'0007'0406;
}
} // namespace hv::svm
