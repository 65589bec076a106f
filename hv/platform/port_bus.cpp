// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/port_bus.hpp"
#include "hv/base/assert.hpp"

namespace hv::platform {
PortBus::PortBus() {
    slots_[0] = {&absent_, false};
}

void PortBus::attach(u16 first, u16 count, PortDevice& device, Width width) {
    Slot const wanted{&device, width == Width::Any};
    unsigned number = 1;
    while (number < devices_ &&
           !(slots_[number].device == wanted.device && slots_[number].whole == wanted.whole)) {
        ++number;
    }
    if (number == devices_) {
        HV_ASSERT(devices_ < kDevices);
        slots_[devices_++] = wanted;
    }
    for (u32 port = first; port < static_cast<u32>(first) + count; ++port) {
        HV_ASSERT(port <= 0xffff);
        u8& block = block_of_[port >> 8];
        if (block == 0) {
            HV_ASSERT(blocks_ < kBlocks);
            block = static_cast<u8>(blocks_++);
        }
        u8& slot = slot_in_block_[block][port & 0xff];
        HV_ASSERT(slot == 0);
        slot = static_cast<u8>(number);
    }
}

u32 PortBus::read_bytes(u16 port, u8 size_bytes) {
    u32 value = 0;
    for (u8 i = 0; i < size_bytes; ++i) {
        u16 const at = static_cast<u16>(port + i);
        value |= (slot_of(at).device->read(at, 1) & 0xff) << (8 * i);
    }
    return value;
}

void PortBus::write_bytes(u16 port, u8 size_bytes, u32 value) {
    for (u8 i = 0; i < size_bytes; ++i) {
        u16 const at = static_cast<u16>(port + i);
        slot_of(at).device->write(at, 1, value >> (8 * i) & 0xff);
    }
}
} // namespace hv::platform
