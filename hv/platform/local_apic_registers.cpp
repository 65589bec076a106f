// SPDX-License-Identifier: Apache-2.0
// LocalApic's register file: the guest-visible half.
#include "hv/platform/local_apic.hpp"

namespace hv::platform {
using apic::Register;

bool LocalApic::read_msr(u32 index, u64& value) {
    u32 const number = index - apic::kFirstMsr;
    if (!x2apic() || number >= apic::kRegisters || !read(static_cast<Register>(number), value)) {
        ++counters_.refused;
        return false;
    }
    return true;
}

bool LocalApic::write_other_msr(u32 index, u64 value) {
    u32 const number = index - apic::kFirstMsr;
    bool const wide = number == static_cast<u32>(Register::CommandLow);
    if (!x2apic() || number >= apic::kRegisters || (!wide && value >> 32 != 0) ||
        !write(static_cast<Register>(number), value)) {
        ++counters_.refused;
        return false;
    }
    return true;
}

u64 LocalApic::read_mmio(u32 offset, u8 size_bytes) {
    u32 const shift = offset & 0xf;
    if (shift + size_bytes > 4 || offset >= apic::kPageBytes) {
        return 0;
    }
    u32 const number = offset >> 4;
    u64 value = 0;
    if (number >= apic::kRegisters || !read(static_cast<Register>(number), value)) {
        error(apic::esr::kIllegalRegister);
        return 0;
    }
    value >>= shift * 8;
    return size_bytes == 4 ? value : value & ((1ull << (size_bytes * 8)) - 1);
}

void LocalApic::write_mmio(u32 offset, u8 size_bytes, u64 value) {
    if ((offset & 0xf) != 0 || size_bytes != 4 || offset >= apic::kPageBytes) {
        return;
    }
    u32 const number = offset >> 4;
    if (number >= apic::kRegisters || !write(static_cast<Register>(number), value & 0xffff'ffff)) {
        error(apic::esr::kIllegalRegister);
    }
}

bool LocalApic::read(Register r, u64& value) {
    unsigned const number = static_cast<unsigned>(r);
    if (number >= 0x10 && number < 0x28) {
        unsigned const word = number % 8;
        value = number < 0x18   ? isr_.register32(word)
                : number < 0x20 ? tmr_.register32(word)
                                : irr_.register32(word);
        return true;
    }
    switch (r) {
    case Register::Id: value = x2apic() ? identity_.apic_id : identity_.apic_id << 24; return true;
    case Register::Version: value = apic::kVersion; return true;
    case Register::TaskPriority: value = tpr_; return true;
    case Register::ProcessorPriority: value = ppr_; return true;
    case Register::LogicalDestination: value = logical_id(); return true;
    case Register::SpuriousVector: value = svr_; return true;
    case Register::ErrorStatus: value = esr_; return true;
    case Register::CommandLow: value = x2apic() ? icr_ : icr_ & 0xffff'ffff; return true;
    case Register::LvtTimer:
    case Register::LvtThermal:
    case Register::LvtPerformance:
    case Register::LvtLint0:
    case Register::LvtLint1:
    case Register::LvtError: value = lvt(r); return true;
    case Register::InitialCount: value = timer_.initial(); return true;
    case Register::CurrentCount: value = timer_.current(clock_.guest_tsc()); return true;
    case Register::DivideConfiguration: value = timer_.divide(); return true;
    default: break;
    }
    value = 0;
    if (x2apic()) {
        return false;
    }
    switch (r) { // xAPIC only
    case Register::DestinationFormat: value = dfr_; return true;
    case Register::CommandHigh: value = icr_ >> 32; return true;
    case Register::ArbitrationPriority:
    case Register::RemoteRead:
    case Register::Eoi: return true; // write-only or unused: 0
    default: return false;
    }
}

bool LocalApic::write(Register r, u64 value) {
    u32 const low = static_cast<u32>(value);
    bool const x2 = x2apic();
    switch (r) {
    case Register::TaskPriority:
        if (x2 && value > 0xff) return false;
        set_task_priority(static_cast<u8>(value));
        return true;
    case Register::Eoi:
        if (x2 && value != 0) return false;
        eoi();
        return true;
    case Register::SpuriousVector: return write_svr(low);
    case Register::ErrorStatus:
        if (x2 && value != 0) return false;
        esr_ = pending_errors_;
        pending_errors_ = 0;
        return true;
    case Register::CommandLow:
        if (x2 && (low & apic::icr::kReservedX2apic) != 0) return false;
        write_icr(x2 ? value : (icr_ & ~0xffff'ffffull) | low);
        return true;
    case Register::LvtTimer:
    case Register::LvtThermal:
    case Register::LvtPerformance:
    case Register::LvtLint0:
    case Register::LvtLint1:
    case Register::LvtError: return write_lvt(r, low);
    case Register::InitialCount:
        on_time(clock_.guest_tsc());
        timer_.set_initial(low, clock_.guest_tsc());
        return true;
    case Register::DivideConfiguration:
        if (x2 && (value & ~0xbull) != 0) return false;
        on_time(clock_.guest_tsc());
        timer_.set_divide(low, clock_.guest_tsc());
        return true;
    case Register::SelfIpi:
        if (!x2 || value > 0xff) return false;
        if (value < 16) {
            ++counters_.illegal_vectors;
            error(apic::esr::kSendIllegalVector | apic::esr::kReceiveIllegalVector);
        } else {
            raise(static_cast<u8>(value));
        }
        return true;
    default: break;
    }
    if (x2) {
        return false;
    }
    switch (r) { // xAPIC only
    case Register::LogicalDestination: ldr_ = low & 0xff00'0000; return true;
    case Register::DestinationFormat: dfr_ = low | 0x0fff'ffff; return true;
    case Register::CommandHigh:
        icr_ = (icr_ & 0xffff'ffff) | static_cast<u64>(low & 0xff00'0000) << 32;
        return true;
    case Register::Id: // the processor's number is not the guest's to change
    case Register::Version:
    case Register::ArbitrationPriority:
    case Register::ProcessorPriority:
    case Register::RemoteRead:
    case Register::CurrentCount: return true; // read-only: ignored
    default: return false;
    }
}

bool LocalApic::write_svr(u32 value) {
    if (x2apic() && (value & ~apic::svr::kWritable) != 0) {
        return false;
    }
    svr_ = value & apic::svr::kWritable;
    if (!software_enabled()) { // SDM, "Local APIC state after it has been software disabled"
        on_time(clock_.guest_tsc());
        for (u32& entry : lvt_) {
            entry |= apic::lvt::Masked::mask;
        }
        timer_.set_masked(true, clock_.guest_tsc());
    }
    return true;
}

u32 LocalApic::lvt_writable(Register r) {
    switch (r) {
    case Register::LvtTimer: return apic::lvt::kTimerWritable;
    case Register::LvtError: return apic::lvt::kErrorWritable;
    case Register::LvtLint0:
    case Register::LvtLint1: return apic::lvt::kLintWritable;
    default: return apic::lvt::kEventWritable;
    }
}

bool LocalApic::write_lvt(Register r, u32 value) {
    u32 const writable = lvt_writable(r);
    if (x2apic() && (value & ~(writable | apic::lvt::kReadOnly)) != 0) {
        return false;
    }
    value &= writable;
    if (!software_enabled()) {
        value |= apic::lvt::Masked::mask;
    }
    if (r == Register::LvtTimer) {
        u64 const now = clock_.guest_tsc();
        on_time(now); // with the old vector
        timer_.set_masked(apic::lvt::Masked::get(value) != 0, now);
        timer_.set_mode(static_cast<ApicTimer::Mode>(apic::lvt::TimerMode::get(value)), now);
    }
    lvt(r) = value;
    return true;
}

void LocalApic::write_icr(u64 value) {
    u32 const low = static_cast<u32>(value) & apic::icr::kWritable;
    u32 const high = static_cast<u32>(value >> 32);
    icr_ = static_cast<u64>(high) << 32 | low;
    u8 const vector = static_cast<u8>(apic::icr::Vector::get(low));
    auto const delivery = static_cast<apic::Delivery>(apic::icr::Mode::get(low));
    bool const fixed = delivery == apic::Delivery::Fixed || delivery == apic::Delivery::LowestPriority;
    if (fixed && vector < 16) {
        ++counters_.illegal_vectors;
        error(apic::esr::kSendIllegalVector);
        return;
    }
    if (delivery == apic::Delivery::Init && apic::icr::Level::get(low) != 0 &&
        apic::icr::Assert::get(low) == 0) {
        return; // INIT level de-assert only synchronised arbitration IDs of old processors
    }
    auto const shorthand = static_cast<apic::Shorthand>(apic::icr::Shorthand::get(low));
    if (shorthand == apic::Shorthand::Self && delivery == apic::Delivery::Fixed) {
        raise(vector);
        return;
    }
    bool const x2 = x2apic();
    u32 const destination = x2 ? high : high >> 24;
    bus_.send(identity_.vp_index, {.delivery = delivery,
                                   .vector = vector,
                                   .level = false, // IPIs are edge-triggered whatever bit 15 says
                                   .logical = apic::icr::Logical::get(low) != 0,
                                   .broadcast = destination == (x2 ? 0xffff'ffff : 0xff),
                                   .destination = destination,
                                   .shorthand = shorthand});
}
} // namespace hv::platform
