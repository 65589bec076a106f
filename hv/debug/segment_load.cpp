// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/segment_load.hpp"
#include "hv/base/bits.hpp"
#include "hv/debug/guest_tables.hpp"

namespace hv::debug {
namespace {
using Dpl = Bits<6, 5>; // of Segment::attributes
constexpr u16 kWritable = 0x2, kReadable = 0x2, kConforming = 0x4, kAccessed = 0x1;
} // namespace

Segment segment_by_paragraph(Segment before, u16 selector) {
    before.selector = selector;
    before.base = u64{selector} << 4;
    return before;
}

std::optional<Segment> null_segment(Seg which, u16 selector, CodeMode mode, u8 cpl) {
    if (which == Seg::Cs) {
        return std::nullopt;
    }
    if (which != Seg::Ss) {
        return Segment{selector, 0, 0, 0};
    }
    if (mode.code_bits != 64 || cpl == 3 || (selector & 3) != cpl) {
        return std::nullopt;
    }
    // Unusable; its DPL stays the CPL, which is where one vendor keeps that.
    return Segment{selector, static_cast<u16>(Dpl::of(cpl)), 0, 0};
}

bool loadable(Seg which, u16 selector, Segment const& loaded, u8 cpl) {
    u16 const attributes = loaded.attributes;
    constexpr u16 kUsable = segment::kPresent | segment::kS;
    if ((attributes & kUsable) != kUsable) {
        return false;
    }
    bool const code = (attributes & segment::kTypeCode) != 0;
    bool const conforming = code && (attributes & kConforming) != 0;
    u64 const dpl = Dpl::get(attributes);
    u8 const rpl = selector & 3;
    switch (which) {
    case Seg::Cs: {
        bool const wide_twice =
            (attributes & segment::kLong) != 0 && (attributes & segment::kDefaultBig) != 0;
        return code && !wide_twice && rpl == cpl && (conforming ? dpl <= cpl : dpl == cpl);
    }
    case Seg::Ss: return !code && (attributes & kWritable) != 0 && rpl == cpl && dpl == cpl;
    default: return (!code || (attributes & kReadable) != 0) && (conforming || (dpl >= cpl && dpl >= rpl));
    }
}

std::optional<Segment> segment_with(CpuView& cpu, GuestAccess& memory, SystemView& system, Seg which,
                                    u16 selector) {
    CodeMode const mode = code_mode(cpu);
    if (mode.real) {
        return segment_by_paragraph(cpu.read(which), selector);
    }
    u8 const cpl = cpu.cpl();
    if (is_null(selector)) {
        return null_segment(which, selector, mode, cpl);
    }
    u64 linear = 0, raw = 0;
    if (!descriptor_address(cpu, system, selector, linear) || !peek(cpu, memory, linear, raw)) {
        return std::nullopt;
    }
    Segment loaded = segment_of(selector, raw);
    if (!loadable(which, selector, loaded, cpl)) {
        return std::nullopt;
    }
    loaded.attributes |= kAccessed;
    return loaded;
}
} // namespace hv::debug
