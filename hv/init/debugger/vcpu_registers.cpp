// SPDX-License-Identifier: Apache-2.0
#include "hv/init/debugger/vcpu_registers.hpp"
#include "hv/core/control_registers.hpp"
#include "hv/core/vcpu_view.hpp"
#include "hv/debug/segment_load.hpp"
#include "hv/debug/vcpu_system_view.hpp"
#include "hv/init/debugger/xsave_registers.hpp"

namespace hv::init {
namespace {
using gdb::RegisterId;
using partition::Guest;
using partition::VirtualProcessor;

bool between(RegisterId id, RegisterId first, RegisterId last) {
    return id >= first && id <= last;
}
Seg segment_of(RegisterId id, RegisterId first) {
    return static_cast<Seg>(static_cast<u8>(id) - static_cast<u8>(first)); // the same order: ES … GS
}
/// CR0 … CR8 by number, or -1.
int control_of(RegisterId id) {
    switch (id) {
    case RegisterId::Cr0: return 0;
    case RegisterId::Cr2: return 2;
    case RegisterId::Cr3: return 3;
    case RegisterId::Cr4: return 4;
    case RegisterId::Cr8: return 8;
    default: return -1;
    }
}
u64 number_of(std::span<u8 const> from) {
    u64 value = 0;
    __builtin_memcpy(&value, from.data(), from.size() < sizeof value ? from.size() : sizeof value);
    return value;
}

bool load_segment(Guest& guest, Seg which, u16 selector) {
    VirtVcpu& hw = guest.vp().hardware();
    VcpuView view{hw};
    debug::VcpuSystemView system{hw};
    auto const loaded = debug::segment_with(view, guest.memory(), system, which, selector);
    if (!loaded ||
        (which == Seg::Cs && !rip_allowed((loaded->attributes & segment::kLong) != 0, hw.read(Reg::Rip)))) {
        return false;
    }
    hw.write(which, *loaded);
    return true;
}

/// The hidden base alone. @return false beyond 32 bits
bool move_segment(VirtVcpu& hw, Seg which, u64 base) {
    if (base >> 32 != 0) {
        return false;
    }
    Segment segment = hw.read(which);
    segment.base = base;
    hw.write(which, segment);
    return true;
}
} // namespace

bool read_integer(VirtualProcessor& vp, RegisterId id, u64& value) {
    VirtVcpu& hw = vp.hardware();
    if (id <= RegisterId::Rflags) {
        value = hw.read(static_cast<Reg>(id));
        return true;
    }
    if (between(id, RegisterId::Es, RegisterId::Gs)) {
        value = hw.read(segment_of(id, RegisterId::Es)).selector;
        return true;
    }
    if (between(id, RegisterId::EsBase, RegisterId::GsBase)) {
        value = hw.read(segment_of(id, RegisterId::EsBase)).base;
        return true;
    }
    if (int const number = control_of(id); number >= 0) {
        value = vp.control(static_cast<u8>(number));
        return true;
    }
    if (id == RegisterId::KernelGsBase || id == RegisterId::Efer) {
        value = hw.read(id == RegisterId::Efer ? StateMsr::IA32_EFER : StateMsr::IA32_KERNEL_GS_BASE);
        return true;
    }
    if (between(id, RegisterId::Fctrl, RegisterId::Fop) || id == RegisterId::Mxcsr) {
        value = 0;
        return read_extended(vp.fpu_image(), id, {reinterpret_cast<u8*>(&value), 4});
    }
    return false;
}

bool read_register(VirtualProcessor& vp, RegisterId id, std::span<u8> to) {
    u64 value = 0;
    if (id < RegisterId::St0) {
        bool const known = read_integer(vp, id, value);
        __builtin_memcpy(to.data(), &value, to.size() < sizeof value ? to.size() : sizeof value);
        return known;
    }
    return read_extended(vp.fpu_image(), id, to);
}

bool write_register(Guest& guest, RegisterId id, std::span<u8 const> from) {
    VirtualProcessor& vp = guest.vp();
    VirtVcpu& hw = vp.hardware();
    u64 const value = number_of(from);
    if (id < RegisterId::St0) {
        u64 now = 0;
        if (read_integer(vp, id, now) && now == value) {
            return true; // gdb writes everything back around a call
        }
    }
    if (id == RegisterId::Rflags) {
        if (!rflags_write_allowed(hw.read(Reg::Rflags), value)) {
            return false;
        }
        hw.write(Reg::Rflags, value | rflags::kReserved1);
        hw.clear_interrupt_shadow(); // behind STI VM entry wants IF set, and no new TF
        vp.attend_soon();
        return true;
    }
    if (id == RegisterId::Rip) {
        if (!rip_allowed(hw.in_64bit_code(), value)) {
            return false;
        }
        hw.write(Reg::Rip, value);
        hw.clear_interrupt_shadow();
        vp.end_halt();
        return true;
    }
    if (id < RegisterId::Rip) {
        hw.write(static_cast<Reg>(id), value);
        return true;
    }
    if (between(id, RegisterId::Es, RegisterId::Gs)) {
        return load_segment(guest, segment_of(id, RegisterId::Es), static_cast<u16>(value));
    }
    // In virtual-8086 mode the selector is the base, and VM entry insists (SDM vol 3C, "Checks on Guest
    // Segment Registers").
    if (between(id, RegisterId::EsBase, RegisterId::GsBase) &&
        (hw.read(Reg::Rflags) & rflags::kVirtual8086) != 0) {
        return false;
    }
    if (id == RegisterId::FsBase || id == RegisterId::GsBase || id == RegisterId::KernelGsBase ||
        id == RegisterId::Efer) {
        StateMsr const msr = id == RegisterId::FsBase         ? StateMsr::IA32_FS_BASE
                             : id == RegisterId::GsBase       ? StateMsr::IA32_GS_BASE
                             : id == RegisterId::KernelGsBase ? StateMsr::IA32_KERNEL_GS_BASE
                                                              : StateMsr::IA32_EFER;
        return vp.set_state_msr(msr, value);
    }
    if (between(id, RegisterId::EsBase, RegisterId::DsBase)) {
        return move_segment(hw, segment_of(id, RegisterId::EsBase), value);
    }
    if (int const number = control_of(id); number >= 0) {
        return vp.set_control(static_cast<u8>(number), value);
    }
    if (!write_extended(vp.fpu_image(), id, from)) {
        return false;
    }
    vp.fpu_changed();
    return true;
}
} // namespace hv::init
