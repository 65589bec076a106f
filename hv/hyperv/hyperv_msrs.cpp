// SPDX-License-Identifier: Apache-2.0
// The synthetic MSRs that belong to the partition, and the way to those of a processor's SynIC and timers.
#include "hv/hyperv/hyperv_interface.hpp"
#include "hv/hyperv/reference_tsc.hpp"
#include <cstring>

namespace hv::hyperv {
namespace {
constexpr Gpa page_of(u64 page_register) {
    return Gpa{page_register & page_msr::Pfn::mask};
}
constexpr bool is_crash_parameter(u32 index) {
    return index >= msr::kCrashP0 && index < msr::kCrashP0 + 5;
}
constexpr u64 kCrashAbilities = crash_ctl::Message::mask | crash_ctl::Notify::mask;
} // namespace

MsrResult HypervInterface::read_msr(u32 vp, u32 index, u64& value) {
    if (index < msr::kFirst || index > msr::kLast) return MsrResult::NotMine;
    if (read_known_msr(vp, index, value)) return MsrResult::Handled;
    ++environment_.counters.msr_faults;
    return MsrResult::Fault;
}

MsrResult HypervInterface::write_msr(u32 vp, u32 index, u64 value) {
    if (index < msr::kFirst || index > msr::kLast) return MsrResult::NotMine;
    if (write_known_msr(vp, index, value)) return MsrResult::Handled;
    ++environment_.counters.msr_faults;
    return MsrResult::Fault;
}

bool HypervInterface::read_known_msr(u32 vp, u32 index, u64& value) {
    HypervVp& v = setup_.vps[vp];
    if (SyntheticTimers::owns_msr(index)) {
        value = v.timers.read_msr(index);
        return true;
    }
    if (Synic::owns_msr(index)) return v.synic.read_msr(index, value);
    if (is_crash_parameter(index)) {
        value = crash_parameters_[index - msr::kCrashP0];
        return true;
    }
    switch (index) {
    case msr::kGuestOsId: value = guest_os_id_; return true;
    case msr::kHypercall: value = hypercall_msr_; return true;
    case msr::kVpIndex: value = vp; return true;
    case msr::kTimeRefCount: value = setup_.clock.reference_time(); return true;
    case msr::kReferenceTsc: value = reference_tsc_msr_; return true;
    case msr::kTscFrequency: value = setup_.clock.tsc_hz(); return true;
    case msr::kApicFrequency: value = setup_.apic_hz; return true;
    case msr::kVpAssistPage: value = v.vp_assist_page; return true;
    case msr::kCrashCtl: value = kCrashAbilities; return true;
    case msr::kTscInvariantControl: value = tsc_invariant_control_; return true;
    default: return false;
    }
}

bool HypervInterface::write_known_msr(u32 vp, u32 index, u64 value) {
    HypervVp& v = setup_.vps[vp];
    if (SyntheticTimers::owns_msr(index)) {
        v.timers.write_msr(index, value);
        return true;
    }
    if (Synic::owns_msr(index)) {
        bool const ok = v.synic.write_msr(index, value);
        v.timers.pump(); // its messages wait for the same slots
        return ok;
    }
    if (is_crash_parameter(index)) {
        crash_parameters_[index - msr::kCrashP0] = value;
        return true;
    }
    switch (index) {
    case msr::kGuestOsId: write_guest_os_id(value); return true;
    case msr::kHypercall: return write_hypercall_msr(value);
    case msr::kReferenceTsc: write_reference_tsc(value); return true;
    case msr::kVpAssistPage: write_vp_assist_page(v, value); return true;
    case msr::kCrashCtl: report_crash(value); return true;
    case msr::kTscInvariantControl:
        if ((value & ~1ull) != 0) return false;
        tsc_invariant_control_ = value;
        return true;
    default: return false; // read-only or unknown
    }
}

void HypervInterface::write_guest_os_id(u64 value) {
    guest_os_id_ = value;
    if (value == 0) {
        hypercall_msr_ &= ~page_msr::Enable::mask;
    }
}

bool HypervInterface::write_hypercall_msr(u64 value) {
    if (page_msr::Locked::get(hypercall_msr_) != 0) return value == hypercall_msr_;
    if (guest_os_id_ == 0) {
        value &= ~page_msr::Enable::mask; // TLFS, "Establishing the Hypercall Interface"
    }
    if (page_msr::Enable::get(value) != 0) {
        auto const page = setup_.memory.page(page_of(value));
        if (!page.ok()) {
            ++environment_.counters.page_errors;
            return false;
        }
        // ENDBR64 first: kernels with indirect branch tracking call the page. Then VMCALL or VMMCALL, RET.
        auto const [a, b, c] = setup_.hypercall_instruction;
        u8 const code[] = {0xf3, 0x0f, 0x1e, 0xfa, a, b, c, 0xc3};
        std::memset(page.value(), 0xcc, kPageBytes);
        std::memcpy(page.value(), code, sizeof code);
    }
    hypercall_msr_ = value;
    return true;
}

void HypervInterface::write_reference_tsc(u64 value) {
    reference_tsc_msr_ = value;
    refresh_reference_page();
}

void HypervInterface::refresh_reference_page() {
    if (page_msr::Enable::get(reference_tsc_msr_) == 0) return;
    auto const page = setup_.memory.page(page_of(reference_tsc_msr_));
    if (!page.ok()) { // TLFS leaves reading such a page undefined; the MSR still tells the time
        ++environment_.counters.page_errors;
        return;
    }
    if (++reference_sequence_ == 0) ++reference_sequence_; // 0 would mean "not valid"
    PartitionClock const& clock = setup_.clock;
    auto const fresh =
        reference_page(reference_sequence_, clock.guest_tsc(), clock.reference_time(), clock.tsc_hz());
    auto* const sequence = reinterpret_cast<u32*>(page.value());
    __atomic_store_n(sequence, 0u, __ATOMIC_SEQ_CST); // another processor of the guest may be reading
    std::memcpy(page.value() + sizeof(u32), reinterpret_cast<u8 const*>(&fresh) + sizeof(u32),
                sizeof fresh - sizeof(u32));
    __atomic_store_n(sequence, fresh.sequence, __ATOMIC_RELEASE);
}

void HypervInterface::write_vp_assist_page(HypervVp& vp, u64 value) {
    vp.vp_assist_page = value;
    if (page_msr::Enable::get(value) == 0) return;
    // "No EOI required" is never offered: its word stays 0.
    if (!store(setup_.memory, page_of(value), u32{0}).ok()) {
        ++environment_.counters.page_errors;
    }
}

void HypervInterface::report_crash(u64 control) {
    if (crash_ctl::Notify::get(control) == 0) return;
    ++environment_.counters.crash_reports;
    if (setup_.crash_sink == nullptr) return;
    usize bytes = 0;
    if (crash_ctl::Message::get(control) != 0) {
        bytes = std::min<u64>(crash_parameters_[4], crash_text_.size());
        auto const to = std::span{reinterpret_cast<u8*>(crash_text_.data()), bytes};
        if (!setup_.memory.read(Gpa{crash_parameters_[3]}, to).ok()) {
            ++environment_.counters.page_errors;
            bytes = 0;
        }
    }
    // It ends on an operator's terminal, where a new line would begin without our prefix.
    for (char& c : std::span{crash_text_}.first(bytes)) {
        if (c < ' ' || c > '~') c = '.';
    }
    setup_.crash_sink->guest_crashed({crash_parameters_, std::string_view{crash_text_.data(), bytes}});
}
} // namespace hv::hyperv
