// SPDX-License-Identifier: Apache-2.0
// The one place where a physical address becomes a pointer: all RAM is mapped at a constant distance.
#pragma once
#include "hv/base/addr.hpp"

namespace hv::mm {
/// Pointer = physical address + distance. A value of 8 bytes, set once at start-up; a hosted test makes one
/// over an arena. It does not know which addresses are RAM: callers ask the frame table.
class DirectMap {
  public:
    /// @param base  where physical address 0 appears (it need not be mapped itself)
    constexpr explicit DirectMap(u64 base) : base_{base} {}
    /// The map under which @p at is seen at @p pointer.
    static DirectMap through(Hpa at, void const* pointer) {
        return DirectMap{reinterpret_cast<u64>(pointer) - at.raw};
    }

    template <class T = void>
    T* pointer(Hpa at) const {
        return reinterpret_cast<T*>(base_ + at.raw);
    }
    Hpa physical(void const* pointer) const { return {reinterpret_cast<u64>(pointer) - base_}; }

  private:
    u64 base_;
};
} // namespace hv::mm
