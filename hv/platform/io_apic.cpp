// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/io_apic.hpp"
#include "hv/base/assert.hpp"

namespace hv::platform {
namespace {
constexpr u32 kIndexWindow = 0x00, kDataWindow = 0x10;
constexpr u8 kIdRegister = 0, kVersionRegister = 1, kArbitrationRegister = 2, kFirstEntryRegister = 0x10;
constexpr u32 kVersion = 0x11; // no EOI register: level interrupts end by the local APICs' broadcast

namespace rte { // redirection table entry
using Vector = Bits<7, 0>;
using Mode = Bits<10, 8>;
using Logical = Bits<11>;
using RemoteIrr = Bits<14>;
using Level = Bits<15>;
using Masked = Bits<16>;
using Destination = Bits<63, 56>;
constexpr u64 kReadOnly = Bits<12>::mask | RemoteIrr::mask;
constexpr u64 kWritable = (Bits<16, 0>::mask & ~kReadOnly) | Destination::mask;
} // namespace rte
} // namespace

IoApic::IoApic(InterruptFabric& fabric) : fabric_{fabric} {
    for (unsigned i = 0; i < kPins; ++i) {
        pins_[i].owner = this;
        pins_[i].number = i;
    }
    reset();
    fabric_.set_eoi_listener(this);
}

void IoApic::reset() {
    for (u64& entry : entries_) {
        entry = rte::Masked::mask;
    }
    index_ = 0;
    id_ = 0;
}

InterruptLine& IoApic::pin(unsigned number) {
    HV_ASSERT(number < kPins);
    return pins_[number];
}

void IoApic::set_pin(unsigned number, bool asserted) {
    HV_ASSERT(number < kPins);
    u32 const bit = 1u << number;
    bool const was = (asserted_ & bit) != 0;
    asserted_ = asserted ? asserted_ | bit : asserted_ & ~bit;
    if (!asserted || was) {
        return;
    }
    u64 const entry = entries_[number];
    if (rte::Masked::get(entry) != 0) {
        counters_.masked += rte::Level::get(entry) == 0;
        return;
    }
    deliver(number);
}

/// Sends what the entry says; the pin is asserted (level) or has just risen (edge) and is not masked.
void IoApic::deliver(unsigned number) {
    u64& entry = entries_[number];
    auto const mode = static_cast<apic::Delivery>(rte::Mode::get(entry));
    bool const fixed = mode == apic::Delivery::Fixed || mode == apic::Delivery::LowestPriority;
    bool const level = rte::Level::get(entry) != 0 && fixed;
    if (level && rte::RemoteIrr::get(entry) != 0) {
        return; // accepted already, not ended yet
    }
    if ((fixed && rte::Vector::get(entry) < 16) ||
        (!fixed && mode != apic::Delivery::Nmi && mode != apic::Delivery::Init)) {
        ++counters_.illegal;
        return;
    }
    if (level) {
        entry |= rte::RemoteIrr::mask;
    }
    ++counters_.delivered;
    u32 const destination = static_cast<u32>(rte::Destination::get(entry));
    fabric_.deliver({.delivery = mode,
                     .vector = static_cast<u8>(rte::Vector::get(entry)),
                     .level = level,
                     .logical = rte::Logical::get(entry) != 0,
                     .broadcast = destination == 0xff,
                     .destination = destination});
}

void IoApic::end_of_interrupt(u8 vector) {
    for (unsigned i = 0; i < kPins; ++i) {
        u64& entry = entries_[i];
        if (rte::RemoteIrr::get(entry) == 0 || rte::Vector::get(entry) != vector) {
            continue;
        }
        entry &= ~rte::RemoteIrr::mask;
        if ((asserted_ >> i & 1) != 0 && rte::Masked::get(entry) == 0) {
            deliver(i); // still wants service
        }
    }
}

u64 IoApic::read_mmio(u32 offset, u8 size_bytes) const {
    if (size_bytes != 4) {
        return 0;
    }
    return offset == kIndexWindow ? index_ : offset == kDataWindow ? read_register() : 0;
}

void IoApic::write_mmio(u32 offset, u8 size_bytes, u64 value) {
    if (offset == kIndexWindow && (size_bytes == 4 || size_bytes == 1)) {
        index_ = static_cast<u8>(value);
    } else if (offset == kDataWindow && size_bytes == 4) {
        write_register(static_cast<u32>(value));
    }
}

u32 IoApic::read_register() const {
    switch (index_) {
    case kIdRegister:
    case kArbitrationRegister: return static_cast<u32>(id_) << 24;
    case kVersionRegister: return kVersion | (kPins - 1) << 16;
    default: break;
    }
    unsigned const half = index_ - kFirstEntryRegister;
    if (index_ < kFirstEntryRegister || half >= 2 * kPins) {
        return 0;
    }
    return static_cast<u32>(entries_[half / 2] >> (half % 2 * 32));
}

void IoApic::write_register(u32 value) {
    if (index_ == kIdRegister) {
        id_ = value >> 24 & 0xf;
        return;
    }
    unsigned const half = index_ - kFirstEntryRegister;
    if (index_ < kFirstEntryRegister || half >= 2 * kPins) {
        return;
    }
    unsigned const number = half / 2;
    u64& entry = entries_[number];
    u64 const merged = half % 2 == 0 ? (entry & ~0xffff'ffffull) | value
                                     : (entry & 0xffff'ffff) | static_cast<u64>(value) << 32;
    entry = (merged & rte::kWritable) | (entry & rte::kReadOnly);
    if (rte::Level::get(entry) == 0) {
        entry &= ~rte::RemoteIrr::mask; // an edge pin has none; guests end a stuck interrupt this way
    } else if ((asserted_ >> number & 1) != 0 && rte::Masked::get(entry) == 0) {
        deliver(number);
    }
}
} // namespace hv::platform
