// SPDX-License-Identifier: Apache-2.0
// Construction, reset, and the way from VMBus to the guest.
#include "hv/hyperv/hyperv_interface.hpp"
#include "hv/hyperv/reference_tsc.hpp"

namespace hv::hyperv {
HypervInterface::HypervInterface(HypervSetup const& setup)
    : setup_{setup},
      environment_{setup.memory, setup.interrupts, setup.clock, {}, {}},
      leaves_{build_cpuid_leaves(static_cast<u32>(setup.vps.size()), setup.guest_physical_bits)} {
    HV_ASSERT(!setup.vps.empty() && setup.vps.size() <= kMaxVps);
    HV_ASSERT(setup.clock.tsc_hz() > kReferenceHz);
    for (u32 i = 0; i < vp_count(); ++i) {
        setup_.vps[i].synic.bind(environment_, i);
        setup_.vps[i].timers.bind(environment_, setup_.vps[i].synic, i);
    }
}

void HypervInterface::connect(PostSink& posts, EventSink& events) {
    posts_ = &posts;
    events_ = &events;
}

void HypervInterface::reset_vp(u32 vp) {
    HypervVp& v = setup_.vps[vp];
    v.synic.reset();
    v.timers.reset();
    v.vp_assist_page = 0;
}

void HypervInterface::reset() {
    for (u32 i = 0; i < vp_count(); ++i) {
        reset_vp(i);
    }
    guest_os_id_ = hypercall_msr_ = reference_tsc_msr_ = tsc_invariant_control_ = 0;
    crash_parameters_ = {};
}

void HypervInterface::pump(HypervVp& vp) {
    vp.synic.pump();
    vp.timers.pump();
}

PostStatus HypervInterface::post_message(u32 vp, u32 sint, u32 type, std::span<u8 const> payload) {
    HV_ASSERT(vp < vp_count() && sint < kSintCount && type != 0);
    return setup_.vps[vp].synic.post(sint, SynicMessage{type, 0, payload});
}

SignalStatus HypervInterface::signal_event(u32 vp, u32 sint, u32 flag) {
    HV_ASSERT(vp < vp_count() && sint < kSintCount && flag < kEventFlagsPerSint);
    return setup_.vps[vp].synic.signal(sint, flag);
}

void HypervInterface::discard_messages(u32 sint) {
    for (HypervVp& vp : setup_.vps) {
        vp.synic.discard(sint);
    }
}
} // namespace hv::hyperv
