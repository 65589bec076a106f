// SPDX-License-Identifier: Apache-2.0
// What an emulated instruction of the guest meets outside its RAM.
#pragma once
#include "hv/core/mmio_target.hpp"
#include "hv/partition/guest.hpp"

namespace hv::partition {
/// Device pages; everything else outside RAM is an open bus: ones to read, nothing to write.
class PartitionMmio final : public MmioTarget {
  public:
    PartitionMmio(Guest& guest, u64& hole_touches) : guest_{guest}, hole_touches_{hole_touches} {}
    u64 read(Gpa at, u8 size_bytes) override {
        u64 value = ~0ull;
        if (!guest_.read_device(at, size_bytes, value)) {
            ++hole_touches_;
        }
        return value;
    }
    void write(Gpa at, u8 size_bytes, u64 value) override {
        if (!guest_.write_device(at, size_bytes, value)) {
            ++hole_touches_;
        }
    }

  private:
    Guest& guest_;
    u64& hole_touches_;
};
} // namespace hv::partition
