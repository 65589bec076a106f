// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/placement.hpp"

namespace hv::debug {
namespace {
// SDM vol 3B, "Debug Control Register (DR7)": Ln, Gn at 2n, R/Wn and LENn together at 16 + 4n.
constexpr unsigned kRegisters = 4;
constexpr u64 kEnableBits = 3, kGlobal = 2, kTypeBits = 0xf;
constexpr u64 kWhenExecuted = 0, kWhenWritten = 1, kWhenAccessed = 3;
constexpr unsigned enable_shift(unsigned number) {
    return 2 * number;
}
constexpr unsigned type_shift(unsigned number) {
    return 16 + 4 * number;
}

/// R/W in bits 1:0, LEN in bits 3:2. @return false where x86 has no such breakpoint
bool hardware_type(PointSpec const& spec, u64& type) {
    if (spec.kind == PointKind::Execute) {
        type = kWhenExecuted; // LEN must be 0
        return true;
    }
    if (spec.kind == PointKind::Read || (spec.address & (spec.bytes - 1)) != 0) {
        return false;
    }
    type = spec.kind == PointKind::Write ? kWhenWritten : kWhenAccessed;
    switch (spec.bytes) {
    case 1: return true;
    case 2: type |= 1 << 2; return true;
    case 4: type |= 3 << 2; return true;
    case 8: type |= 2 << 2; return true;
    default: return false;
    }
}

void arm(HardwareBreakpoints& hardware, unsigned number, u64 address, u64 enable, u64 type) {
    hardware.address[number] = address;
    hardware.dr7 &= ~(kEnableBits << enable_shift(number) | kTypeBits << type_shift(number));
    hardware.dr7 |= enable << enable_shift(number) | type << type_shift(number);
}

class Placer {
  public:
    Placer(PointTable const& table, PlacementRules const& rules)
        : table_{table}, rules_{rules}, left_{table.used()} {}

    void guest(HardwareBreakpoints const& guest) {
        for (unsigned number = 0; number < kRegisters; ++number) {
            u64 const enable = guest.dr7 >> enable_shift(number) & kEnableBits;
            if (enable != 0) {
                arm(out_.hardware, used_, guest.address[number], enable,
                    guest.dr7 >> type_shift(number) & kTypeBits);
                out_.owner[used_++] = {Placement::Owner::Kind::Guest, static_cast<u8>(number), 0};
            }
        }
    }
    /// Gives registers to those of @p candidates that may have one.
    void points(u64 candidates, bool execute) {
        for_each_point(candidates & left_, [&](unsigned index) {
            PointSpec const& spec = table_[index].spec;
            u64 type = 0;
            // A twin at the same address may have taken it along.
            if ((left_ >> index & 1) == 0 || (spec.kind == PointKind::Execute) != execute ||
                !hardware_type(spec, type) ||
                (execute && (!rules_.code_breakpoints || spec.address < rules_.code_breakpoints_from)) ||
                used_ >= rules_.registers) {
                return;
            }
            u64 const covered = execute ? table_.execution_points_at(spec.address) : 1ull << index;
            // Global: a task switch clears the local bits behind our back.
            arm(out_.hardware, used_, spec.address, kGlobal, type);
            out_.owner[used_++] = {Placement::Owner::Kind::Point, 0, covered};
            left_ &= ~covered;
        });
    }
    Placement finish() {
        out_.homeless = left_ & rules_.unguardable;
        out_.guarded = left_ & ~rules_.unguardable;
        return out_;
    }

  private:
    PointTable const& table_;
    PlacementRules const& rules_;
    Placement out_;
    u64 left_;
    unsigned used_ = 0;
};

void add_owner(Placement::Owner const& owner, Hits& hits) {
    switch (owner.kind) {
    case Placement::Owner::Kind::Guest: hits.guest |= 1ull << owner.guest_number; break;
    case Placement::Owner::Kind::Point: hits.points |= owner.points; break;
    case Placement::Owner::Kind::None: break;
    }
}

bool is_code(HardwareBreakpoints const& hardware, unsigned number) {
    return (hardware.dr7 >> type_shift(number) & kTypeBits) == kWhenExecuted;
}

/// How little it hurts to do without this register while one instruction runs; 0 hurts least. That
/// instruction may touch what is watched, but starts no other.
unsigned loss(Placement const& placement, unsigned number, u64 linear) {
    using Kind = Placement::Owner::Kind;
    bool const code = is_code(placement.hardware, number);
    switch (placement.owner[number].kind) {
    case Kind::None: return 1;
    case Kind::Point: return !code ? 3 : placement.hardware.address[number] == linear ? 0 : 2;
    case Kind::Guest: break;
    }
    return code ? 4 : 5;
}
} // namespace

Placement place(HardwareBreakpoints const& guest, PointTable const& table, PlacementRules const& rules) {
    Placer placer{table, rules};
    placer.guest(guest);
    // Without a register those cannot be hit at all; the others are only slower.
    placer.points(rules.unguardable, true);
    placer.points(rules.unguardable, false);
    placer.points(~0ull, true);
    placer.points(~0ull, false);
    return placer.finish();
}

Hits sort_hits(Placement const& placement, u64 dr6) {
    Hits hits;
    for (unsigned number = 0; number < kRegisters; ++number) {
        if ((dr6 >> number & 1) != 0) {
            add_owner(placement.owner[number], hits);
        }
    }
    return hits;
}

OneShot with_one_shot(Placement const& placement, u64 linear) {
    unsigned best = 0;
    for (unsigned number = 1; number < kRegisters; ++number) {
        if (loss(placement, number, linear) < loss(placement, best, linear)) {
            best = number;
        }
    }
    OneShot out{placement.hardware, static_cast<u8>(best)};
    arm(out.hardware, best, linear, kGlobal, kWhenExecuted);
    return out;
}

Hits sort_hits(Placement const& placement, OneShot const& one_shot, u64 dr6) {
    u64 const own = 1ull << one_shot.number;
    Hits hits = sort_hits(placement, dr6 & ~own);
    hits.one_shot = (dr6 & own) != 0;
    if (hits.one_shot && loss(placement, one_shot.number, one_shot.hardware.address[one_shot.number]) == 0) {
        add_owner(placement.owner[one_shot.number],
                  hits); // it shares the register of a point that is there anyway
    }
    return hits;
}
} // namespace hv::debug
