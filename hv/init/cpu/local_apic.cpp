// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/local_apic.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/init/cpu/interrupts.hpp"

namespace hv::init {
namespace apic = arch::apic;

namespace {
constinit LocalApic the_apic;
constexpr u16 kPicMasterMask = 0x21, kPicSlaveMask = 0xa1; // 8259A data sheet, OCW1
} // namespace

LocalApic& local_apic() {
    return the_apic;
}

void mask_legacy_interrupts() {
    arch::out8(kPicMasterMask, 0xff);
    arch::out8(kPicSlaveMask, 0xff);
}

u64 LocalApic::register_page() {
    u64 const base = arch::rdmsr(arch::IA32_APIC_BASE);
    return arch::apic_base::X2apic::get(base) != 0 ? 0 : base & arch::apic_base::Address::mask;
}

u32 LocalApic::read(u32 offset) const {
    if (registers_ == nullptr) {
        return static_cast<u32>(arch::rdmsr(apic::x2apic_msr(offset)));
    }
    return *reinterpret_cast<u32 volatile*>(registers_ + offset);
}

void LocalApic::write(u32 offset, u32 value) {
    if (registers_ == nullptr) {
        arch::wrmsr(apic::x2apic_msr(offset), value);
    } else {
        *reinterpret_cast<u32 volatile*>(registers_ + offset) = value;
    }
}

void LocalApic::send(u32 apic_id, u32 command) {
    if (registers_ == nullptr) {
        arch::mfence(); // x2APIC writes are not serialising (SDM, "MSR Access in x2APIC Mode")
        arch::wrmsr(apic::x2apic_msr(apic::kCommandLow), u64{apic_id} << 32 | command);
        return;
    }
    while (apic::CommandPending::get(read(apic::kCommandLow)) != 0) {
        arch::pause();
    }
    write(apic::kCommandHigh, static_cast<u32>(apic::XapicId::of(apic_id)));
    write(apic::kCommandLow, command);
}

void LocalApic::initialise() {
    if (registers_ == nullptr) {
        // Another processor's firmware state may differ; this way is the one that is allowed.
        u64 const base = arch::rdmsr(arch::IA32_APIC_BASE);
        if (arch::apic_base::X2apic::get(base) == 0) {
            arch::wrmsr(arch::IA32_APIC_BASE,
                        base | arch::apic_base::X2apic::of(1) | arch::apic_base::Enable::of(1));
        }
    }
    u32 const masked = static_cast<u32>(apic::LvtMasked::of(1));
    u64 const last_entry = apic::MaxLvtEntry::get(version());
    write(apic::kSpurious, static_cast<u32>(apic::SoftwareEnable::of(1)) | kSpuriousVector);
    write(apic::kLvtLint0, masked);
    write(apic::kLvtError, masked | kSpuriousVector);
    if (last_entry >= 4) {
        write(apic::kLvtPerformance, masked);
    }
    if (last_entry >= 5) {
        write(apic::kLvtThermal, masked);
    }
    write(apic::kTaskPriority, 0);
    write(apic::kInitialCount, 0);
    write(apic::kDivide, apic::kDivideBy1);
    write(apic::kLvtTimer, static_cast<u32>(apic::LvtTimerMode::of(apic::kTimerOneShot)) | kTimerVector);
}

u32 LocalApic::id() const {
    u32 const raw = read(apic::kId);
    return x2apic() ? raw : static_cast<u32>(apic::XapicId::get(raw));
}
u32 LocalApic::version() const {
    return read(apic::kVersion);
}
bool LocalApic::in_service(u8 vector) const {
    return (read(apic::kInService + vector / 32 * 0x10u) >> (vector % 32) & 1) != 0;
}
} // namespace hv::init
