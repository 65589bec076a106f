// SPDX-License-Identifier: Apache-2.0
#include "hv/init/debugger/xsave_registers.hpp"

namespace hv::init {
namespace {
using gdb::RegisterId;

// Offsets in the legacy area, and of what follows it in the standard form.
constexpr usize kFcw = 0, kFsw = 2, kAbridgedTag = 4, kFop = 6, kFip = 8, kFdp = 16, kMxcsr = 24, kSt = 32,
                kXmm = 160, kHeader = 512, kYmmHigh = 576, kYmmHighEnd = 832;
constexpr usize kStride = 16, kStBytes = 10;
constexpr u8 kX87 = 1, kSse = 2, kAvx = 4; ///< XSTATE_BV

struct Place {
    usize at = 0;
    usize bytes = 0; ///< 0: not one of these registers
    u8 component = 0;
};

Place place_of(RegisterId id) {
    auto const index = [&](RegisterId first) { return static_cast<usize>(id) - static_cast<usize>(first); };
    if (id >= RegisterId::St0 && id <= RegisterId::St7) {
        return {kSt + kStride * index(RegisterId::St0), kStBytes, kX87};
    }
    if (id >= RegisterId::Xmm0 && id <= RegisterId::Xmm15) {
        return {kXmm + kStride * index(RegisterId::Xmm0), 16, kSse};
    }
    if (id >= RegisterId::Ymm0h && id <= RegisterId::Ymm15h) {
        return {kYmmHigh + kStride * index(RegisterId::Ymm0h), 16, kAvx};
    }
    switch (id) {
    case RegisterId::Mxcsr: return {kMxcsr, 4, kSse};
    case RegisterId::Fctrl: return {kFcw, 2, kX87};
    case RegisterId::Fstat: return {kFsw, 2, kX87};
    case RegisterId::Fop: return {kFop, 2, kX87};
    case RegisterId::Fioff: return {kFip, 4, kX87};
    case RegisterId::Fiseg: return {kFip + 4, 4, kX87};
    case RegisterId::Fooff: return {kFdp, 4, kX87};
    case RegisterId::Foseg: return {kFdp + 4, 4, kX87};
    default: return {};
    }
}

unsigned stack_top(std::span<u8 const> image) {
    return image[kFsw + 1] >> 3 & 7;
}

/// Two bits a physical register, from one bit and the contents.
u16 full_tag(std::span<u8 const> image) {
    constexpr u16 kValid = 0, kZero = 1, kSpecial = 2, kEmpty = 3;
    u16 tag = 0;
    for (unsigned physical = 0; physical < 8; ++physical) {
        u16 kind = kEmpty;
        if ((image[kAbridgedTag] >> physical & 1) != 0) {
            u8 const* const st = &image[kSt + kStride * ((physical - stack_top(image)) & 7)];
            u64 mantissa;
            __builtin_memcpy(&mantissa, st, sizeof mantissa);
            u16 const exponent = static_cast<u16>((st[8] | st[9] << 8) & 0x7fff);
            if (exponent == 0) {
                kind = mantissa == 0 ? kZero : kSpecial;
            } else {
                kind = exponent != 0x7fff && mantissa >> 63 != 0 ? kValid : kSpecial;
            }
        }
        tag = static_cast<u16>(tag | kind << (2 * physical));
    }
    return tag;
}
} // namespace

bool read_extended(std::span<u8 const> image, RegisterId id, std::span<u8> to) {
    if (image.size() < kHeader) {
        return false;
    }
    for (u8& byte : to) {
        byte = 0;
    }
    if (id == RegisterId::Ftag && to.size() >= 2) {
        u16 const tag = full_tag(image);
        __builtin_memcpy(to.data(), &tag, sizeof tag);
        return true;
    }
    Place const place = place_of(id);
    if (place.bytes == 0 || to.size() < place.bytes || place.at + place.bytes > image.size()) {
        return false;
    }
    // Without a mark in XSTATE_BV upper halves are in their initial state, whatever lies there.
    if (place.component != kAvx || (image[kHeader] & kAvx) != 0) {
        __builtin_memcpy(to.data(), &image[place.at], place.bytes);
    }
    return true;
}

bool write_extended(std::span<u8> image, RegisterId id, std::span<u8 const> from) {
    if (image.size() < kHeader) {
        return false;
    }
    bool const has_header = image.size() > kHeader;
    if (id == RegisterId::Ftag) {
        u8 abridged = 0;
        for (unsigned physical = 0; physical < 8; ++physical) {
            unsigned const kind = from[physical / 4] >> (physical % 4 * 2) & 3;
            abridged = static_cast<u8>(abridged | (kind != 3) << physical);
        }
        image[kAbridgedTag] = abridged;
        if (has_header) {
            image[kHeader] |= kX87;
        }
        return true;
    }
    Place const place = place_of(id);
    if (place.bytes == 0 || from.size() < place.bytes || place.at + place.bytes > image.size()) {
        return false;
    }
    for (u8 const rest : from.subspan(place.bytes)) {
        if (rest != 0) {
            return false;
        }
    }
    if (id == RegisterId::Mxcsr) {
        // XRSTOR raises #GP for bits that the mask does not have.
        u32 mask, value;
        __builtin_memcpy(&mask, &image[kMxcsr + 4], sizeof mask);
        __builtin_memcpy(&value, from.data(), sizeof value);
        constexpr u32 kDefaultMask = 0xffbf;
        if ((value & ~(mask != 0 ? mask : kDefaultMask)) != 0) {
            return false;
        }
    }
    if (place.component == kAvx && (image[kHeader] & kAvx) == 0) {
        for (usize at = kYmmHigh; at < kYmmHighEnd; ++at) {
            image[at] = 0;
        }
    }
    __builtin_memcpy(&image[place.at], from.data(), place.bytes);
    if (has_header) {
        image[kHeader] |= place.component;
    }
    return true;
}
} // namespace hv::init
