// SPDX-License-Identifier: Apache-2.0
// One loop for all four formats: only entry size, index bits and where a leaf may sit differ.
//
//   linear:  | index[n] | … | index[2] | index[1] | offset |
//              table ──► entry ──► table ──► … ──► leaf: page + offset
#include "hv/core/guest_walk.hpp"
#include "hv/base/bits.hpp"
#include <algorithm>

namespace hv {
namespace {
// SDM vol 3A, "Format of a page-table entry"; common to all levels and formats.
constexpr u64 kPresent = Bits<0>::mask, kWritable = Bits<1>::mask, kUser = Bits<2>::mask,
              kAccessed = Bits<5>::mask, kDirty = Bits<6>::mask, kLarge = Bits<7>::mask,
              kNoExecute = Bits<63>::mask;
constexpr unsigned kMaxLevels = 5;

struct Format {
    unsigned levels;
    unsigned entry_bytes;
    unsigned index_bits;
    bool pae_top; ///< the top level is PAE's PDPTEs: no rights, no accessed bit
};

Format format_of(PagingState const& state) {
    if (state.long_mode()) {
        return {(state.cr4 & cr4::kLa57) != 0 ? 5u : 4u, 8, 9, false};
    }
    if ((state.cr4 & cr4::kPae) != 0) {
        return {3, 8, 9, true};
    }
    return {2, 4, 10, false};
}

Gpa root_of(PagingState const& state) {
    if (state.long_mode()) {
        return {state.cr3 & Bits<51, 12>::mask};
    }
    return {state.cr3 & ((state.cr4 & cr4::kPae) != 0 ? Bits<31, 5>::mask : Bits<31, 12>::mask)};
}

bool canonical(PagingState const& state, u64 linear) {
    unsigned const shift = (state.cr4 & cr4::kLa57) != 0 ? 7 : 16;
    return static_cast<u64>(static_cast<s64>(linear << shift) >> shift) == linear;
}

/// Bits of @p entry that must be 0 at this place.
u64 reserved_bits(PagingState const& state, Format const& format, unsigned level, bool leaf) {
    if (format.entry_bytes == 4) {
        return leaf && level == 2 ? Bits<21>::mask : 0; // PSE-36 uses 20:13 for address bits 39:32
    }
    u64 bits = state.physical_bits < 52 ? (1ull << 52) - (1ull << state.physical_bits) : 0;
    if ((state.efer & efer::kNxe) == 0) {
        bits |= kNoExecute;
    }
    if (level >= 4) {
        bits |= kLarge;
    } else if (leaf && level == 3) {
        bits |= Bits<29, 13>::mask;
    } else if (leaf && level == 2) {
        bits |= Bits<20, 13>::mask;
    }
    return bits;
}

struct Step {
    Gpa at;
    u64 entry;
};

struct Walk {
    GuestAccess& memory;
    PagingState const& state;
    u64 linear;
    WalkIntent intent;
    bool user;
    Format format;
    Step steps[kMaxLevels];
    unsigned used = 0;

    Result<Translation, WalkFault> once();
    bool mark();
    Result<u64, WalkFault> load(Gpa at);
    bool permitted(bool writable, bool user_page, bool no_execute) const;
    WalkFault fault(u32 cause) const;
};

WalkFault Walk::fault(u32 cause) const {
    u32 code = cause;
    code |= intent.access == Access::W ? page_fault::kWrite : 0;
    code |= user ? page_fault::kUser : 0;
    // I/D is reported only where fetches can be refused at all.
    bool const fetch_visible =
        ((state.cr4 & cr4::kPae) != 0 && (state.efer & efer::kNxe) != 0) || (state.cr4 & cr4::kSmep) != 0;
    code |= intent.access == Access::X && fetch_visible ? page_fault::kFetch : 0;
    return {WalkFault::Kind::PageFault, GuestMemoryError::NotRam, code, linear};
}

Result<u64, WalkFault> Walk::load(Gpa at) {
    if (format.entry_bytes == 4) {
        auto const entry = fetch<u32>(memory, at);
        if (entry.ok()) return u64{entry.value()};
        return Err{WalkFault{WalkFault::Kind::TableUnreachable, entry.error(), 0, linear}};
    }
    auto const entry = fetch<u64>(memory, at);
    if (entry.ok()) return entry.value();
    return Err{WalkFault{WalkFault::Kind::TableUnreachable, entry.error(), 0, linear}};
}

/// Source: Intel SDM vol 3A, "Determination of access rights".
bool Walk::permitted(bool writable, bool user_page, bool no_execute) const {
    if (user) {
        return user_page && (intent.access != Access::W || writable) &&
               (intent.access != Access::X || !no_execute);
    }
    if (intent.access == Access::X) {
        return !no_execute && !(user_page && (state.cr4 & cr4::kSmep) != 0);
    }
    if (user_page && (state.cr4 & cr4::kSmap) != 0 &&
        (!state.alignment_check || intent.implicit_supervisor)) {
        return false;
    }
    return intent.access != Access::W || writable || (state.cr0 & cr0::kWp) == 0;
}

Result<Translation, WalkFault> Walk::once() {
    used = 0;
    Gpa table = root_of(state);
    bool writable = true, user_page = true, no_execute = false;
    for (unsigned level = format.levels;; --level) {
        unsigned const shift = 12 + (level - 1) * format.index_bits;
        u64 const index_mask = (format.pae_top && level == 3) ? 3 : (1u << format.index_bits) - 1;
        Gpa const at = table + ((linear >> shift) & index_mask) * format.entry_bytes;
        u64 const entry = HV_TRY(load(at));
        if ((entry & kPresent) == 0) {
            return Err{fault(0)};
        }
        bool const rights = !(format.pae_top && level == 3);
        bool const may_be_large = level == 2 ? format.entry_bytes == 8 || (state.cr4 & cr4::kPse) != 0
                                             : level == 3 && !format.pae_top;
        bool const leaf = level == 1 || (may_be_large && (entry & kLarge) != 0);
        if (rights) {
            if ((entry & reserved_bits(state, format, level, leaf)) != 0) {
                return Err{fault(page_fault::kPresent | page_fault::kReserved)};
            }
            writable &= (entry & kWritable) != 0;
            user_page &= (entry & kUser) != 0;
            no_execute |= format.entry_bytes == 8 && (entry & kNoExecute) != 0;
            steps[used++] = {at, entry};
        }
        if (!leaf) {
            table = {entry & Bits<51, 12>::mask};
            continue;
        }
        if (intent.check_permissions && !permitted(writable, user_page, no_execute)) {
            return Err{fault(page_fault::kPresent)};
        }
        u64 const page_bytes = 1ull << shift;
        u64 base = entry & Bits<51, 12>::mask & ~(page_bytes - 1);
        if (format.entry_bytes == 4 && level == 2) {
            base = (entry & Bits<31, 22>::mask) | (Bits<20, 13>::get(entry) << 32);
        }
        return Translation{{base | (linear & (page_bytes - 1))}, page_bytes};
    }
}

/// Sets accessed bits on the way and dirty on the leaf. @return false when the guest changed an entry
/// meanwhile.
bool Walk::mark() {
    for (unsigned i = 0; i < used; ++i) {
        bool const leaf = i + 1 == used;
        u64 const wanted = kAccessed | (leaf && intent.access == Access::W ? kDirty : 0);
        if ((steps[i].entry & wanted) == wanted) {
            continue;
        }
        auto const page = memory.page(steps[i].at);
        if (!page.ok()) {
            return false;
        }
        u8* const raw = page.value() + steps[i].at.page_offset();
        bool swapped = false;
        if (format.entry_bytes == 4) {
            u32 expected = static_cast<u32>(steps[i].entry);
            swapped = __atomic_compare_exchange_n(reinterpret_cast<u32*>(raw), &expected,
                                                  expected | static_cast<u32>(wanted), false,
                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        } else {
            u64 expected = steps[i].entry;
            swapped = __atomic_compare_exchange_n(reinterpret_cast<u64*>(raw), &expected, expected | wanted,
                                                  false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
        if (!swapped) {
            return false;
        }
    }
    return true;
}
} // namespace

PagingState paging_state(CpuView& cpu) {
    return {.cr0 = cpu.read(ControlReg::Cr0),
            .cr3 = cpu.read(ControlReg::Cr3),
            .cr4 = cpu.read(ControlReg::Cr4),
            .efer = cpu.efer(),
            .cpl = cpu.cpl(),
            .alignment_check = (cpu.read(Reg::Rflags) & (1u << 18)) != 0};
}

Result<Translation, WalkFault> walk(GuestAccess& memory, PagingState const& state, u64 linear,
                                    WalkIntent intent) {
    if (!state.long_mode()) {
        linear &= 0xffff'ffff;
    }
    if (!state.paging()) {
        return Translation{{linear}, ~0ull};
    }
    if (state.long_mode() && !canonical(state, linear)) {
        return Err{WalkFault{WalkFault::Kind::NonCanonical, GuestMemoryError::NotRam, 0, linear}};
    }
    Walk walk{.memory = memory,
              .state = state,
              .linear = linear,
              .intent = intent,
              .user = state.cpl == 3 && !intent.implicit_supervisor,
              .format = format_of(state),
              .steps = {}};
    // Another processor of the guest may rewrite entries under us; a guest that does so for ever only loses
    // the accessed or dirty bit it is fighting over.
    for (unsigned attempt = 0;; ++attempt) {
        auto result = walk.once();
        if (!result.ok() || !intent.set_accessed_dirty || walk.mark() || attempt == 3) {
            return result;
        }
    }
}

Result<u32, WalkFault> read_linear(GuestAccess& memory, PagingState const& state, u64 linear,
                                   std::span<u8> to, WalkIntent intent,
                                   std::optional<WalkFault>& later_fault) {
    u32 done = 0;
    while (done < to.size()) {
        u64 const at = linear + done;
        auto const where = walk(memory, state, at, intent);
        std::optional<WalkFault> failed;
        if (where.ok()) {
            u64 const chunk = std::min<u64>(to.size() - done, kPageBytes - (at & (kPageBytes - 1)));
            auto const copied = memory.read(where.value().gpa, to.subspan(done, chunk));
            if (copied.ok()) {
                done += static_cast<u32>(chunk);
                continue;
            }
            failed = WalkFault{WalkFault::Kind::TableUnreachable, copied.error(), 0, at};
        } else {
            failed = where.error();
        }
        if (done == 0) {
            return Err{*failed};
        }
        later_fault = failed;
        break;
    }
    return done;
}
} // namespace hv
