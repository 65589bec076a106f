// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/memory_bus.hpp"
#include "hv/core/decode/alu.hpp"
#include <algorithm>

namespace hv::decode {
namespace {
/// The widest naturally aligned access that fits: what a bus would do with an odd piece.
u8 chunk(Gpa at, u8 left) {
    u8 size = 8;
    while (size > left || (at.raw & (size - 1u)) != 0) {
        size /= 2;
    }
    return size;
}
} // namespace

Result<Place, EmulationFailure> MemoryBus::locate(u64 linear, u8 size_bytes, Access access, bool stack) {
    WalkIntent const intent{.access = access};
    auto const first = walk(memory_, paging_, linear, intent);
    if (!first.ok()) {
        return Err{EmulationFailure::of(first.error(), stack)};
    }
    u64 const room = kPageBytes - (linear & (kPageBytes - 1));
    u8 const head = static_cast<u8>(std::min<u64>(room, size_bytes));
    Place place{first.value().gpa, head, {}, static_cast<u8>(size_bytes - head)};
    if (place.second_bytes != 0) {
        auto const second = walk(memory_, paging_, linear + head, intent);
        if (!second.ok()) {
            return Err{EmulationFailure::of(second.error(), stack)};
        }
        place.second = second.value().gpa;
    }
    return place;
}

Result<u64, EmulationFailure> MemoryBus::read_part(Gpa at, u8 bytes) {
    u64 value = 0;
    auto const ram = memory_.read(at, {reinterpret_cast<u8*>(&value), bytes});
    if (ram.ok()) {
        return value;
    }
    if (ram.error() != GuestMemoryError::NotRam || devices_ == nullptr) {
        return Err{EmulationFailure::of(ram.error())};
    }
    value = 0;
    for (u8 done = 0; done < bytes;) {
        u8 const size = chunk(at + done, static_cast<u8>(bytes - done));
        value |= (devices_->read(at + done, size) & size_mask(size)) << (8 * done);
        done = static_cast<u8>(done + size);
    }
    return value;
}

Result<void, EmulationFailure> MemoryBus::write_part(Gpa at, u8 bytes, u64 value) {
    auto const ram = memory_.write(at, {reinterpret_cast<u8 const*>(&value), bytes});
    if (ram.ok()) {
        return {};
    }
    if (ram.error() != GuestMemoryError::NotRam || devices_ == nullptr) {
        return Err{EmulationFailure::of(ram.error())};
    }
    for (u8 done = 0; done < bytes;) {
        u8 const size = chunk(at + done, static_cast<u8>(bytes - done));
        devices_->write(at + done, size, (value >> (8 * done)) & size_mask(size));
        done = static_cast<u8>(done + size);
    }
    return {};
}

Result<u64, EmulationFailure> MemoryBus::read(Place const& place) {
    u64 value = HV_TRY(read_part(place.first, place.first_bytes));
    if (place.second_bytes != 0) {
        value |= HV_TRY(read_part(place.second, place.second_bytes)) << (8 * place.first_bytes);
    }
    return value;
}

Result<void, EmulationFailure> MemoryBus::write(Place const& place, u64 value) {
    HV_TRY(write_part(place.first, place.first_bytes, value));
    if (place.second_bytes != 0) {
        HV_TRY(write_part(place.second, place.second_bytes, value >> (8 * place.first_bytes)));
    }
    return {};
}
} // namespace hv::decode
