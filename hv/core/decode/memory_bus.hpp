// SPDX-License-Identifier: Apache-2.0
// Linear accesses of an emulated instruction: translated first, then sent to RAM or to the devices.
#pragma once
#include "hv/core/guest_fault.hpp"
#include "hv/core/mmio_target.hpp"
#include <optional>

namespace hv::decode {
/// Where the bytes of one operand lie: one page, or two.
struct Place {
    Gpa first;
    u8 first_bytes = 0;
    Gpa second;
    u8 second_bytes = 0;
};

/// Made for one instruction.
class MemoryBus {
  public:
    /// @param devices null: accesses outside RAM fail as EmulationFailure::Memory.
    MemoryBus(CpuView& cpu, GuestAccess& memory, MmioTarget* devices)
        : memory_{memory}, devices_{devices}, paging_{paging_state(cpu)} {}

    /// Translates all bytes, with permission for @p access, before any of them is touched.
    /// @param size_bytes 1…8. @param stack the fault of a non-canonical address is #SS.
    Result<Place, EmulationFailure> locate(u64 linear, u8 size_bytes, Access access, bool stack);
    /// Little-endian value of the place's bytes. Not atomic.
    Result<u64, EmulationFailure> read(Place const&);
    Result<void, EmulationFailure> write(Place const&, u64 value);

  private:
    Result<u64, EmulationFailure> read_part(Gpa, u8 bytes);
    Result<void, EmulationFailure> write_part(Gpa, u8 bytes, u64 value);

    GuestAccess& memory_;
    MmioTarget* devices_;
    PagingState paging_;
};
} // namespace hv::decode
