// SPDX-License-Identifier: Apache-2.0
// EVENTINJ and EXITINTINFO words to neutral events and back. Pure.
#pragma once
#include "hv/arch/svm.hpp"
#include "hv/core/event_merge.hpp"
#include <optional>

namespace hv::svm {
/// The EVENTINJ word that delivers @p e. Source: AMD APM vol 2 §15.20, "Event Injection".
constexpr u64 event_injection(Event const& e) {
    namespace w = arch::svm::event;
    u64 type = w::kTypeExternal;
    if (e.type == Event::Type::Nmi) {
        return w::Valid::of(1) | w::Type::of(w::kTypeNmi) | w::Vector::of(vector::kNmi);
    }
    if (e.type == Event::Type::Exception) {
        type = w::kTypeException;
    }
    u64 word = w::Valid::of(1) | w::Type::of(type) | w::Vector::of(e.vector);
    if (e.has_error_code) {
        word |= w::ErrorValid::of(1) | w::ErrorCode::of(e.error_code);
    }
    return word;
}

/// The event whose delivery an exit interrupted and that must be delivered again, if any.
/// @param exit_interrupt_info  EXITINTINFO of this exit
/// @param injected             what we had asked for at this entry, null for nothing
///
/// INT n, INT3 and INTO need no help: RIP is still on them, they run again. The processor reports them as
/// type 4, INT3 and INTO on silicon as exceptions 3 and 4; those are ours only when we had injected them. One
/// emulator reports virtual interrupts as type 3 with a vector no exception has.
/// Source: AMD APM vol 2 §15.7.2, "Intercepts During IDT Interrupt Delivery".
constexpr std::optional<Event> interrupted_event(u64 exit_interrupt_info, Event const* injected) {
    namespace w = arch::svm::event;
    if (w::Valid::get(exit_interrupt_info) == 0) {
        return {};
    }
    u8 const number = static_cast<u8>(w::Vector::get(exit_interrupt_info));
    constexpr u8 kOverflow = 4, kExceptions = 32;
    switch (w::Type::get(exit_interrupt_info)) {
    case w::kTypeExternal: return Event{Event::Type::External, number, false, 0};
    case w::kTypeNmi: return Event{Event::Type::Nmi, vector::kNmi, false, 0};
    case w::kTypeException: {
        if (number >= kExceptions) {
            return Event{Event::Type::External, number, false, 0};
        }
        bool const ours =
            injected != nullptr && injected->type == Event::Type::Exception && injected->vector == number;
        if ((number == vector::kBreakpoint || number == kOverflow) && !ours) {
            return {};
        }
        bool const has_code = w::ErrorValid::get(exit_interrupt_info) != 0;
        return Event{Event::Type::Exception, number, has_code,
                     has_code ? static_cast<u32>(w::ErrorCode::get(exit_interrupt_info)) : 0};
    }
    default: return {};
    }
}
} // namespace hv::svm
