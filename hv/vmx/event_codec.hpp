// SPDX-License-Identifier: Apache-2.0
// Events between the neutral form and the interruption-information words of a VMCS. Pure.
// Source: Intel SDM vol 3C, "VM-Entry Controls for Event Injection" and "Information for VM Exits That Occur
// During Event Delivery".
#pragma once
#include "hv/arch/vmx.hpp"
#include "hv/core/exit.hpp"

namespace hv::vmx {
/// The three VM-entry fields that deliver one event.
struct PendingEvent {
    u32 information = 0; ///< interruption layout; bit 31 clear: none
    u32 error_code = 0;
    u32 instruction_bytes = 0; ///< software interrupts and exceptions only

    constexpr bool valid() const { return arch::vmx::interruption::Valid::get(information) != 0; }
    constexpr u64 type() const { return arch::vmx::interruption::Type::get(information); }
    constexpr bool operator==(PendingEvent const&) const = default;
};

/// INT3, INTO, INT n and ICEBP push the address behind themselves.
constexpr bool is_software(u64 type) {
    using namespace arch::vmx::interruption;
    return type == kSoftwareInterrupt || type == kPrivilegedSoftwareException || type == kSoftwareException;
}

/// Exceptions for which VM entry insists on an error code in protected mode and forbids one otherwise.
constexpr bool entry_wants_error_code(u8 exception_vector) {
    constexpr u32 kVectors =
        (1u << 8) | (1u << 10) | (1u << 11) | (1u << 12) | (1u << 13) | (1u << 14) | (1u << 17);
    return exception_vector < 32 && ((kVectors >> exception_vector) & 1) != 0;
}

/// @param instruction_bytes length of the INT3, INTO or INT1 that is being delivered; 0 if it is unknown or
/// #DB comes of something else
constexpr PendingEvent encode(Event const& event, u8 instruction_bytes = 0) {
    using namespace arch::vmx::interruption;
    constexpr u8 kOverflow = 4;
    u64 type = kExternal;
    switch (event.type) {
    case Event::Type::External: break;
    case Event::Type::Nmi: type = kNmi; break;
    case Event::Type::Exception:
        type = kHardwareException;
        if (event.vector == vector::kBreakpoint || event.vector == kOverflow) {
            type = kSoftwareException;
            instruction_bytes = instruction_bytes != 0 ? instruction_bytes : u8{1};
        } else if (event.vector == vector::kDebug && instruction_bytes != 0) {
            type = kPrivilegedSoftwareException;
        }
        break;
    }
    u8 const vector_number = event.type == Event::Type::Nmi ? vector::kNmi : event.vector;
    bool const has_error = event.type == Event::Type::Exception && entry_wants_error_code(vector_number);
    u64 const information =
        Valid::mask | Type::of(type) | Vector::of(vector_number) | HasErrorCode::of(has_error ? 1 : 0);
    return {static_cast<u32>(information), has_error ? event.error_code : 0,
            is_software(type) ? instruction_bytes : 0u};
}

/// In real-address mode nothing pushes an error code, and VM entry refuses one (SDM vol 3C, "Checks on
/// VM-Entry Control Fields").
constexpr PendingEvent for_mode(PendingEvent pending, bool protected_mode) {
    using namespace arch::vmx::interruption;
    if (!protected_mode) {
        pending.information = static_cast<u32>(HasErrorCode::set(pending.information, 0));
    }
    return pending;
}

/// What was being delivered when the exit happened, ready for the next entry.
constexpr PendingEvent from_idt_vectoring(u32 information, u32 error_code, u32 instruction_bytes) {
    using namespace arch::vmx::interruption;
    constexpr u64 kMeaning =
        Valid::mask | HasErrorCode::mask | Type::mask | Vector::mask; // bit 12 is undefined
    if (Valid::get(information) == 0) {
        return {};
    }
    bool const has_error = HasErrorCode::get(information) != 0;
    return {static_cast<u32>(information & kMeaning), has_error ? error_code : 0,
            is_software(Type::get(information)) ? instruction_bytes : 0};
}

/// The neutral view, for the double-fault rules. A software interrupt counts as benign, like an external one.
constexpr Event decode(PendingEvent const& pending) {
    using namespace arch::vmx::interruption;
    Event event;
    event.vector = static_cast<u8>(Vector::get(pending.information));
    event.has_error_code = HasErrorCode::get(pending.information) != 0;
    event.error_code = pending.error_code;
    switch (pending.type()) {
    case kNmi: event.type = Event::Type::Nmi; break;
    case kHardwareException:
    case kPrivilegedSoftwareException:
    case kSoftwareException: event.type = Event::Type::Exception; break;
    default: event.type = Event::Type::External; break;
    }
    return event;
}

/// The neutral view for whoever wants to know what will be delivered: INT n comes out as Exception, because
/// it is the guest's own doing.
constexpr Event describe(PendingEvent const& pending) {
    Event event = decode(pending);
    if (is_software(pending.type())) {
        event.type = Event::Type::Exception;
    }
    return event;
}
} // namespace hv::vmx
