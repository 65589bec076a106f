// SPDX-License-Identifier: Apache-2.0
// How everything but hv/mm reaches guest-physical memory: device models, VMBus, hypercalls, loaders,
// decoders.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/base/result.hpp"
#include <span>
#include <type_traits>

namespace hv {
enum class GuestMemoryError : u8 {
    NotRam,    ///< a device, a hole, or beyond the partition's memory
    Ballooned, ///< given back to the host
    OutOfFrames,
};

/// Users of guest memory; they never manage it. Calls are made on the partition's own physical CPU. Addresses
/// come from the guest: any value is legal. A range may cross pages; a failed call may have transferred the
/// pages before the failing one.
class GuestAccess {
  public:
    virtual ~GuestAccess() = default;
    virtual Result<void, GuestMemoryError> read(Gpa, std::span<u8> to) = 0;
    virtual Result<void, GuestMemoryError> write(Gpa, std::span<u8 const> from) = 0;
    /// A pointer to the 4 KiB page that holds @p at (populated if need be), for in-place atomic work such as
    /// a ring index or an event flag. Valid until the caller returns to the run loop: the guest may balloon
    /// the page at its next exit. Everything read through it may change at any moment: load once, then check.
    virtual Result<u8*, GuestMemoryError> page(Gpa at) = 0;
};

/// Copies one object out of the guest, once; judge the copy.
template <class T>
requires std::is_trivially_copyable_v<T> Result<T, GuestMemoryError> fetch(GuestAccess& memory, Gpa at) {
    T copy;
    HV_TRY(memory.read(at, std::span{reinterpret_cast<u8*>(&copy), sizeof copy}));
    return copy;
}
template <class T>
requires std::is_trivially_copyable_v<T> Result<void, GuestMemoryError> store(GuestAccess& memory, Gpa at,
                                                                              T const& object) {
    return memory.write(at, std::span{reinterpret_cast<u8 const*>(&object), sizeof object});
}
} // namespace hv
