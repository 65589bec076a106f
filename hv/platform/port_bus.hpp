// SPDX-License-Identifier: Apache-2.0
// From a port number to the device behind it, in a few instructions.
#pragma once
#include "hv/core/mmio_target.hpp"

namespace hv::platform {
/// A device on the port bus. Called by the physical CPU that runs the accessing virtual processor; the
/// caller serialises the processors of one partition.
class PortDevice {
  public:
    virtual ~PortDevice() = default;
    /// @param size_bytes 1, 2 or 4. @return the value in the low bits; higher bits are ignored.
    virtual u32 read(u16 port, u8 size_bytes) = 0;
    virtual void write(u16 port, u8 size_bytes, u32 value) = 0;
};

/// The I/O port space of one partition. Ports nobody claims read all ones and swallow writes.
class PortBus final : public PortTarget {
  public:
    enum class Width : u8 {
        Bytes, ///< 8-bit device: a wider access reaches it, and its neighbours, byte by byte
        Any,   ///< gets accesses as they are, if the first byte is its own
    };
    struct Counters {
        u64 reads = 0;
        u64 writes = 0;
        u64 absent_reads = 0; ///< to ports nobody claims
        u64 absent_writes = 0;
    };

    /// Set-up only. Ranges must not overlap; a claimed port cannot be claimed again.
    void attach(u16 first, u16 count, PortDevice& device, Width width);

    u32 read(u16 port, u8 size_bytes) override {
        Slot const& slot = slot_of(port);
        ++counters_.reads;
        if (size_bytes == 1 || slot.whole) {
            return slot.device->read(port, size_bytes);
        }
        return read_bytes(port, size_bytes);
    }
    void write(u16 port, u8 size_bytes, u32 value) override {
        Slot const& slot = slot_of(port);
        ++counters_.writes;
        if (size_bytes == 1 || slot.whole) {
            slot.device->write(port, size_bytes, value);
            return;
        }
        write_bytes(port, size_bytes, value);
    }
    Counters const& counters() const { return counters_; }

    PortBus();
    PortBus(PortBus const&) = delete;
    PortBus& operator=(PortBus const&) = delete;

  private:
    struct Slot {
        PortDevice* device;
        bool whole;
    };
    class Absent final : public PortDevice {
      public:
        explicit Absent(Counters& counters) : counters_{counters} {}
        u32 read(u16, u8) override {
            ++counters_.absent_reads;
            return ~0u;
        }
        void write(u16, u8, u32) override { ++counters_.absent_writes; }

      private:
        Counters& counters_;
    };
    // Two steps: the port's high byte picks a block, the low byte the device in it. Block 0 is all absent.
    static constexpr unsigned kBlocks = 8, kDevices = 16;
    Slot const& slot_of(u16 port) const { return slots_[slot_in_block_[block_of_[port >> 8]][port & 0xff]]; }
    u32 read_bytes(u16 port, u8 size_bytes);
    void write_bytes(u16 port, u8 size_bytes, u32 value);

    u8 block_of_[256] = {};
    u8 slot_in_block_[kBlocks][256] = {};
    Slot slots_[kDevices] = {};
    unsigned blocks_ = 1;
    unsigned devices_ = 1;
    Counters counters_;
    Absent absent_{counters_};
};
} // namespace hv::platform
