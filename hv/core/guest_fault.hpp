// SPDX-License-Identifier: Apache-2.0
// What an emulated instruction can end in: the fault that the guest is owed, or memory that only the
// partition can explain.
#pragma once
#include "hv/core/exit.hpp"
#include "hv/core/guest_access.hpp"
#include "hv/core/guest_walk.hpp"

namespace hv {
/// An exception to inject, with CR2 to load before a page fault.
struct GuestFault {
    Event event;
    bool sets_cr2;
    u64 cr2;

    static constexpr GuestFault exception(u8 vector) {
        return {{Event::Type::Exception, vector, false, 0}, false, 0};
    }
    static constexpr GuestFault exception(u8 vector, u32 error_code) {
        return {{Event::Type::Exception, vector, true, error_code}, false, 0};
    }
    static constexpr GuestFault general_protection() { return exception(vector::kGeneralProtection, 0); }
    static constexpr GuestFault stack() { return exception(vector::kStackFault, 0); }
    static constexpr GuestFault invalid_opcode() { return exception(vector::kInvalidOpcode); }
    static constexpr GuestFault page(u64 linear, u32 error_code) {
        return {{Event::Type::Exception, vector::kPageFault, true, error_code}, true, linear};
    }
};

/// Why an instruction could not be decoded or carried out. Nothing was changed, unless the function that
/// returns it says otherwise.
struct EmulationFailure {
    enum class Kind : u8 {
        Fault,       ///< inject `fault`; RIP stays on the instruction
        Memory,      ///< it needs guest memory that is not there: `memory`
        Unsupported, ///< an instruction we do not emulate: count it, then #UD or stop the partition
    } kind;
    GuestFault fault;
    GuestMemoryError memory;

    static constexpr EmulationFailure of(GuestFault const& f) {
        return {Kind::Fault, f, GuestMemoryError::NotRam};
    }
    static constexpr EmulationFailure of(GuestMemoryError e) { return {Kind::Memory, GuestFault{}, e}; }
    static constexpr EmulationFailure of(WalkFault const& f, bool stack_access = false) {
        switch (f.kind) {
        case WalkFault::Kind::PageFault: return of(GuestFault::page(f.linear, f.error_code));
        case WalkFault::Kind::TableUnreachable: return of(f.memory);
        case WalkFault::Kind::NonCanonical: break;
        }
        return of(stack_access ? GuestFault::stack() : GuestFault::general_protection());
    }
    static constexpr EmulationFailure unsupported() {
        return {Kind::Unsupported, GuestFault{}, GuestMemoryError::NotRam};
    }
};
} // namespace hv
