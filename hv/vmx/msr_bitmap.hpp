// SPDX-License-Identifier: Apache-2.0
// The MSR-bitmap page: everything exits but the registers a guest may have to itself. Pure.
// Source: Intel SDM vol 3C, "MSR-Bitmap Address".
#pragma once
#include "hv/core/registers.hpp"
#include <span>

namespace hv::vmx {
/// Read bits for MSRs 0…1fff, read bits for c000_0000…c000_1fff, then the two write bitmaps, 1 KiB each.
class MsrBitmap {
  public:
    explicit constexpr MsrBitmap(std::span<u8, kPageBytes> page) : page_{page} {}

    constexpr void intercept_all() {
        for (u8& byte : page_) {
            byte = 0xff;
        }
    }
    /// Lets the guest read and write @p msr without an exit.
    constexpr void pass_through(u32 msr) {
        clear(0, msr);
        clear(kWriteOffset, msr);
    }
    constexpr bool exits_on_read(u32 msr) const { return test(0, msr); }
    constexpr bool exits_on_write(u32 msr) const { return test(kWriteOffset, msr); }

  private:
    static constexpr u32 kWriteOffset = 2048, kHighOffset = 1024, kHighBase = 0xc000'0000, kRange = 0x2000;

    /// Offset of the MSR's bit in a read or write half, in bits; kNone outside both ranges (always exits).
    static constexpr u32 kNone = ~0u;
    static constexpr u32 bit_of(u32 msr) {
        if (msr < kRange) return msr;
        return msr - kHighBase < kRange ? kHighOffset * 8 + (msr - kHighBase) : kNone;
    }
    constexpr void clear(u32 half, u32 msr) {
        if (u32 const bit = bit_of(msr); bit != kNone) {
            u8& byte = page_[half + bit / 8];
            byte = static_cast<u8>(byte & ~(1u << (bit % 8)));
        }
    }
    constexpr bool test(u32 half, u32 msr) const {
        u32 const bit = bit_of(msr);
        return bit == kNone || ((page_[half + bit / 8] >> (bit % 8)) & 1) != 0;
    }
    std::span<u8, kPageBytes> page_;
};
} // namespace hv::vmx
