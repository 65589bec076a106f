// SPDX-License-Identifier: Apache-2.0
// SynIC registers and delivery; see the picture in the header.
#include "hv/hyperv/synic.hpp"
#include <cstring>

namespace hv::hyperv {
namespace {
constexpr u32 kMinVector = 16; // below are the exceptions: an unmasked SINT with such a vector is refused

constexpr u64 page_address(u64 page_register) {
    return page_register & page_msr::Pfn::mask;
}
} // namespace

void Synic::bind(HypervEnvironment& environment, u32 vp_index) {
    env_ = &environment;
    vp_ = vp_index;
    reset();
}

void Synic::reset() {
    scontrol_ = siefp_ = simp_ = 0;
    sint_.fill(sint::kReset);
    auto_eoi_used_ = false;
    for (u32 s = 0; s < kSintCount; ++s) {
        discard(s);
    }
}

void Synic::discard(u32 sint) {
    env_->pool.clear(queue_[sint]);
    waiting_ = static_cast<u16>(waiting_ & ~(1u << sint));
}

bool Synic::owns_msr(u32 index) {
    return (index >= msr::kScontrol && index <= msr::kEom) ||
           (index >= msr::kSint0 && index < msr::kSint0 + kSintCount);
}

bool Synic::read_msr(u32 index, u64& value) const {
    switch (index) {
    case msr::kScontrol: value = scontrol_; return true;
    case msr::kSversion: value = 1; return true;
    case msr::kSiefp: value = siefp_; return true;
    case msr::kSimp: value = simp_; return true;
    case msr::kEom: value = 0; return true;
    default: value = sint_[index - msr::kSint0]; return true;
    }
}

bool Synic::write_msr(u32 index, u64 value) {
    switch (index) {
    case msr::kScontrol: scontrol_ = value; break;
    case msr::kSversion: return false;
    case msr::kSiefp: set_page(siefp_, value); break;
    case msr::kSimp: set_page(simp_, value); break;
    case msr::kEom: break;
    default:
        if (sint::Masked::get(value) == 0 && sint::Vector::get(value) < kMinVector) return false;
        sint_[index - msr::kSint0] = value;
        auto_eoi_used_ = std::ranges::any_of(sint_, [](u64 s) { return sint::AutoEoi::get(s) != 0; });
    }
    pump();
    return true;
}

void Synic::set_page(u64& page_register, u64 value) {
    bool const fresh =
        page_msr::Enable::get(value) != 0 &&
        (page_msr::Enable::get(page_register) == 0 || page_address(page_register) != page_address(value));
    page_register = value;
    if (!fresh) return;
    // TLFS gives an overlay page of zeros. We use the guest's own page, so it is cleared here: a stale slot
    // would look busy for ever.
    auto const page = env_->memory.page(Gpa{page_address(value)});
    if (page.ok()) {
        std::memset(page.value(), 0, kPageBytes);
    } else {
        ++env_->counters.page_errors;
    }
}

bool Synic::enabled(u32 sint, u64 page_register) const {
    return Bits<0>::get(scontrol_) != 0 && page_msr::Enable::get(page_register) != 0 &&
           sint::Masked::get(sint_[sint]) == 0;
}

u8* Synic::slot(u32 sint, u64 page_register) {
    auto const page = env_->memory.page(Gpa{page_address(page_register)});
    if (!page.ok()) {
        ++env_->counters.page_errors;
        return nullptr;
    }
    return page.value() + sint * kSintSlotBytes;
}

void Synic::interrupt(u32 sint) {
    if (sint::Polling::get(sint_[sint]) == 0) {
        env_->interrupts.raise(vp_, static_cast<u8>(sint::Vector::get(sint_[sint])));
    }
}

PostStatus Synic::post(u32 sint, SynicMessage const& message) {
    if (!env_->pool.push(queue_[sint], message)) {
        ++env_->counters.messages_refused;
        return PostStatus::PoolFull;
    }
    waiting_ = static_cast<u16>(waiting_ | 1u << sint);
    pump(sint);
    return PostStatus::Ok;
}

bool Synic::deliver_now(u32 sint, SynicMessage const& message) {
    u8* const at = enabled(sint, simp_) ? slot(sint, simp_) : nullptr;
    if (at == nullptr) {
        ++env_->counters.messages_deferred;
        return false;
    }
    auto* const type = reinterpret_cast<u32*>(at + offsetof(MessageSlot, type));
    if (__atomic_load_n(type, __ATOMIC_ACQUIRE) != 0) {
        __atomic_fetch_or(at + offsetof(MessageSlot, flags), kMessagePending, __ATOMIC_SEQ_CST);
        // The guest may have freed the slot before it could see the flag; then nobody would come back to us.
        if (__atomic_load_n(type, __ATOMIC_SEQ_CST) != 0) {
            ++env_->counters.messages_deferred;
            return false;
        }
    }
    std::memcpy(at + offsetof(MessageSlot, payload), message.payload.data(), message.payload_bytes);
    std::memcpy(at + offsetof(MessageSlot, sender), &message.sender, sizeof message.sender);
    std::memset(at + offsetof(MessageSlot, reserved), 0, sizeof(u16));
    at[offsetof(MessageSlot, payload_bytes)] = message.payload_bytes;
    __atomic_store_n(at + offsetof(MessageSlot, flags), u8{0}, __ATOMIC_RELAXED);
    __atomic_store_n(type, message.type, __ATOMIC_RELEASE); // last: this is what the guest waits for
    ++env_->counters.messages_delivered;
    interrupt(sint);
    return true;
}

void Synic::pump() {
    for (u32 s = 0; waiting_ >> s != 0; ++s) {
        if ((waiting_ >> s & 1) != 0) pump(s);
    }
}

void Synic::pump(u32 sint) {
    // Bounded by the pool: only the guest frees slots, but a second processor of it may do so while we loop.
    while (!queue_[sint].empty() && deliver_now(sint, env_->pool.front(queue_[sint]))) {
        env_->pool.pop(queue_[sint]);
    }
    if (queue_[sint].empty()) {
        waiting_ = static_cast<u16>(waiting_ & ~(1u << sint));
    }
}

SignalStatus Synic::signal(u32 sint, u32 flag) {
    u8* const flags = enabled(sint, siefp_) ? slot(sint, siefp_) : nullptr;
    if (flags == nullptr) {
        ++env_->counters.events_lost;
        return SignalStatus::Off;
    }
    u8 const bit = static_cast<u8>(1u << flag % 8);
    if ((__atomic_fetch_or(flags + flag / 8, bit, __ATOMIC_SEQ_CST) & bit) != 0) {
        ++env_->counters.events_merged;
        return SignalStatus::Ok;
    }
    ++env_->counters.events_signalled;
    interrupt(sint);
    return SignalStatus::Ok;
}

bool Synic::has_auto_eoi(u8 vector) const {
    return std::ranges::any_of(sint_, [vector](u64 s) {
        return sint::Vector::get(s) == vector && sint::AutoEoi::get(s) != 0 && sint::Masked::get(s) == 0;
    });
}
} // namespace hv::hyperv
