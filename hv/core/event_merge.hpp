// SPDX-License-Identifier: Apache-2.0
// What a processor delivers when an exception is raised while another event is still waiting for (or in the
// middle of) its delivery: the double-fault rules, shared by both backends. Pure.
#pragma once
#include "hv/core/exit.hpp"

namespace hv {
/// The classes of the double-fault table (Intel SDM vol 3A, "Interrupt 8: Double Fault Exception"; AMD APM
/// vol 2 §8.2, "#DF: Double-Fault Exception").
enum class FaultClass : u8 { Benign, Contributory, PageFault, DoubleFault };

constexpr FaultClass fault_class(Event const& event) {
    if (event.type != Event::Type::Exception) {
        return FaultClass::Benign;
    }
    constexpr u8 kControlProtection = 21;
    switch (event.vector) {
    case vector::kDivide:
    case vector::kInvalidTss:
    case vector::kSegmentNotPresent:
    case vector::kStackFault:
    case vector::kGeneralProtection:
    case kControlProtection: return FaultClass::Contributory;
    case vector::kPageFault: return FaultClass::PageFault;
    case vector::kDoubleFault: return FaultClass::DoubleFault;
    default: return FaultClass::Benign;
    }
}

struct MergedEvent {
    bool triple_fault = false; ///< shutdown state; `event` means nothing
    Event event;               ///< what to deliver instead of both
};

/// @param waiting  the event whose delivery was asked for or interrupted, not yet complete
/// @param raised   an exception (never External or Nmi) raised on top of it
/// @return the one event to deliver. Of two that do not combine the later wins: a fault comes again when its
///         instruction is restarted, and an interrupt whose delivery faults is lost on hardware as well.
constexpr MergedEvent merge_exception(Event const& waiting, Event const& raised) {
    constexpr Event kDoubleFaultEvent{Event::Type::Exception, vector::kDoubleFault, true, 0};
    FaultClass const first = fault_class(waiting);
    FaultClass const second = fault_class(raised);
    bool const second_counts = second == FaultClass::Contributory || second == FaultClass::PageFault;
    switch (first) {
    case FaultClass::DoubleFault:
        if (second_counts) return {true, {}};
        break;
    case FaultClass::PageFault:
        if (second_counts) return {false, kDoubleFaultEvent};
        break;
    case FaultClass::Contributory:
        if (second == FaultClass::Contributory) return {false, kDoubleFaultEvent};
        break;
    case FaultClass::Benign: break;
    }
    return {false, raised};
}

/// Whether the processor pushes an error code for exception @p vector (SDM vol 3A, table "Protected-Mode
/// Exceptions and Interrupts"). Injecting with the wrong answer fails VM entry on one vendor.
constexpr bool exception_has_error_code(u8 exception_vector) {
    constexpr u8 kAlignmentCheck = 17, kControlProtection = 21;
    switch (exception_vector) {
    case vector::kDoubleFault:
    case vector::kInvalidTss:
    case vector::kSegmentNotPresent:
    case vector::kStackFault:
    case vector::kGeneralProtection:
    case vector::kPageFault:
    case kAlignmentCheck:
    case kControlProtection: return true;
    default: return false;
    }
}
} // namespace hv
