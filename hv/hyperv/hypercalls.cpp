// SPDX-License-Identifier: Apache-2.0
// Hypercalls: the control word is judged first, then the input is copied once and judged as a copy.
#include "hv/hyperv/hyperv_interface.hpp"

namespace hv::hyperv {
namespace hc = hypercall_control;

namespace {
/// Neither call has repetitions or a variable header.
constexpr bool is_simple(u64 control) {
    return (control & (hc::VariableHeader::mask | hc::RepCount::mask | hc::RepStart::mask)) == 0;
}
/// An input block is 8-byte aligned and does not cross a page.
constexpr bool well_placed(u64 gpa, usize bytes) {
    return gpa % 8 == 0 && Gpa{gpa}.page_offset() + bytes <= kPageBytes;
}
} // namespace

HypercallResult HypervInterface::hypercall(u32 vp, u64 control, u64 input, u64 /*output*/) {
    if (!hypercalls_enabled()) {
        ++environment_.counters.hypercalls_while_disabled;
        return {.invalid_opcode = true};
    }
    HypercallStatus const status = dispatch(vp, control, input);
    environment_.counters.count(status);
    return {.value = static_cast<u64>(status)};
}

HypercallStatus HypervInterface::dispatch(u32 vp, u64 control, u64 input) {
    // No hypervisor below us takes nested calls.
    if ((control & (hc::kReservedMask | hc::Nested::mask)) != 0) {
        return HypercallStatus::InvalidHypercallInput;
    }
    switch (hc::Code::get(control)) {
    case kHvCallPostMessage: return post_message_call(vp, control, input);
    case kHvCallSignalEvent: return signal_event_call(vp, control, input);
    default: return HypercallStatus::InvalidHypercallCode;
    }
}

HypercallStatus HypervInterface::post_message_call(u32 vp, u64 control, u64 input) {
    if (!is_simple(control) || hc::Fast::get(control) != 0) return HypercallStatus::InvalidHypercallInput;
    if (!well_placed(input, kPostMessageHeaderBytes)) return HypercallStatus::InvalidAlignment;
    // The payload's length is inside, so copy as much as this page holds, then look.
    PostMessageInput message;
    usize const bytes = std::min<u64>(sizeof message, kPageBytes - Gpa{input}.page_offset());
    if (!setup_.memory.read(Gpa{input}, std::span{reinterpret_cast<u8*>(&message), bytes}).ok()) {
        return HypercallStatus::InvalidParameter;
    }
    if (message.payload_bytes > kMessagePayloadBytes || message.message_type == 0 ||
        (message.message_type & kHypervisorMessageBit) != 0) {
        return HypercallStatus::InvalidParameter;
    }
    if (kPostMessageHeaderBytes + message.payload_bytes > bytes) return HypercallStatus::InvalidAlignment;
    if (posts_ == nullptr) return HypercallStatus::InvalidConnectionId;
    return posts_->post(vp, message.connection_id, message.message_type,
                        std::span{message.payload}.first(message.payload_bytes));
}

HypercallStatus HypervInterface::signal_event_call(u32 vp, u64 control, u64 input) {
    if (!is_simple(control)) return HypercallStatus::InvalidHypercallInput;
    u64 word = input;
    if (hc::Fast::get(control) == 0) {
        if (!well_placed(input, sizeof word)) return HypercallStatus::InvalidAlignment;
        auto const copy = fetch<u64>(setup_.memory, Gpa{input});
        if (!copy.ok()) return HypercallStatus::InvalidParameter;
        word = copy.value();
    }
    if (signal_event_input::Reserved::get(word) != 0) return HypercallStatus::InvalidParameter;
    if (events_ == nullptr) return HypercallStatus::InvalidConnectionId;
    return events_->signal(vp, static_cast<u32>(signal_event_input::ConnectionId::get(word)),
                           static_cast<u16>(signal_event_input::Flag::get(word)));
}
} // namespace hv::hyperv
