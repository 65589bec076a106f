// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/guest_tables.hpp"
#include "hv/base/bits.hpp"

namespace hv::debug {
namespace {
constexpr u64 kCr4Vme = 1u << 0;
using Iopl = Bits<13, 12>; // of RFLAGS

// SDM vol 3A, "Segment Descriptors", as one little-endian quadword.
namespace descriptor {
using LimitLow = Bits<15, 0>;
using BaseLow = Bits<39, 16>;
using Attributes = Bits<47, 40>; // type, S, DPL, P
using LimitHigh = Bits<51, 48>;
using Flags = Bits<55, 52>; // AVL, L, D/B, G
using BaseHigh = Bits<63, 56>;
} // namespace descriptor

// SDM vol 3A, "IDT Descriptors": the first quadword of a gate.
namespace gate {
using OffsetLow = Bits<15, 0>;
using Selector = Bits<31, 16>;
using Type = Bits<44, 40>; // with S
using Dpl = Bits<46, 45>;
using Present = Bits<47>;
using OffsetHigh = Bits<63, 48>;
constexpr u64 kInterrupt16 = 0x6, kTrap16 = 0x7, kInterrupt32 = 0xe, kTrap32 = 0xf;
} // namespace gate

bool real_mode(CpuView& cpu) {
    return (cpu.read(ControlReg::Cr0) & cr0::kPe) == 0;
}
bool virtual_8086(CpuView& cpu) {
    return !real_mode(cpu) && (cpu.read(Reg::Rflags) & rflags::kVirtual8086) != 0;
}

/// The real mode's vector table: offset and segment.
std::optional<Handler> from_vector_table(CpuView& cpu, GuestAccess& memory, u64 base, u8 vector) {
    u32 entry = 0;
    if (!peek(cpu, memory, base + 4u * vector, entry)) {
        return std::nullopt;
    }
    u16 const selector = static_cast<u16>(entry >> 16);
    u64 const code_base = u64{selector} << 4;
    return Handler{code_base + (entry & 0xffff), selector, entry & 0xffff, code_base};
}

/// @param cpl who asks for a gate of his privilege; 0 for events, which may use any
std::optional<Handler> from_idt(CpuView& cpu, GuestAccess& memory, SystemView& system, u8 vector, u8 cpl) {
    DescriptorTable const idt = system.read_idtr();
    bool const long_mode = (cpu.efer() & efer::kLma) != 0;
    u64 const bytes = long_mode ? 16 : 8;
    u64 entry[2] = {};
    if (bytes * vector + bytes - 1 > idt.limit ||
        !peek(cpu, memory, idt.base + bytes * vector, {reinterpret_cast<u8*>(entry), bytes})) {
        return std::nullopt;
    }
    u64 const type = gate::Type::get(entry[0]);
    bool const wide = type == gate::kInterrupt32 || type == gate::kTrap32;
    bool const narrow = !long_mode && (type == gate::kInterrupt16 || type == gate::kTrap16);
    if ((!wide && !narrow) || gate::Present::get(entry[0]) == 0 || gate::Dpl::get(entry[0]) < cpl) {
        return std::nullopt;
    }
    Handler out;
    out.selector = static_cast<u16>(gate::Selector::get(entry[0]));
    out.offset = gate::OffsetLow::get(entry[0]) | (wide ? gate::OffsetHigh::get(entry[0]) << 16 : 0);
    if (long_mode) {
        out.offset |= entry[1] << 32;
        out.linear = out.offset; // handlers are 64-bit code
        return out;
    }
    u64 linear = 0, code = 0;
    if (!descriptor_address(cpu, system, out.selector, linear) || !peek(cpu, memory, linear, code)) {
        return std::nullopt;
    }
    out.base = segment_of(out.selector, code).base;
    out.linear = (out.base + out.offset) & 0xffff'ffff;
    return out;
}

/// Does CR4.VME send INT @p vector of virtual-8086 code to its own vector table? The TSS has a bit for each.
/// Source: SDM vol 3B, "Software Interrupt Handling Methods While Operating in Virtual-8086 Mode".
bool redirected(CpuView& cpu, GuestAccess& memory, u8 vector) {
    constexpr u64 kIoMapBase = 0x66, kBitmapBytes = 32;
    u64 const tss = cpu.read(Seg::Tr).base;
    u16 io_map = 0;
    u8 bits = 0;
    return (cpu.read(ControlReg::Cr4) & kCr4Vme) != 0 && peek(cpu, memory, tss + kIoMapBase, io_map) &&
           peek(cpu, memory, tss + io_map - kBitmapBytes + vector / 8, bits) && (bits >> vector % 8 & 1) == 0;
}
} // namespace

bool peek(CpuView& cpu, GuestAccess& memory, u64 linear, std::span<u8> to) {
    WalkIntent const intent{.set_accessed_dirty = false, .check_permissions = false};
    std::optional<WalkFault> later;
    auto const count = read_linear(memory, paging_state(cpu), linear, to, intent, later);
    return count.ok() && count.value() == to.size();
}

u64 stack_linear(CpuView& cpu, CodeMode mode, u64 offset) {
    u64 const sp = cpu.read(Reg::Rsp) + offset;
    if (mode.stack_bits == 64) {
        return sp;
    }
    u64 const mask = mode.stack_bits == 32 ? 0xffff'ffff : 0xffff;
    return (cpu.read(Seg::Ss).base + (sp & mask)) & 0xffff'ffff;
}

u64 code_linear(CpuView& cpu, CodeMode mode, u64 offset) {
    u64 const rip = cpu.read(Reg::Rip) + offset;
    return mode.code_bits == 64 ? rip : (cpu.read(Seg::Cs).base + (rip & 0xffff'ffff)) & 0xffff'ffff;
}

bool descriptor_address(CpuView& cpu, SystemView& system, u16 selector, u64& linear) {
    constexpr u16 kTableIndicator = 4;
    DescriptorTable table = system.read_gdtr();
    if ((selector & kTableIndicator) != 0) {
        Segment const ldt = cpu.read(Seg::Ldtr);
        if ((ldt.attributes & segment::kPresent) == 0) {
            return false;
        }
        table = {ldt.base, ldt.limit};
    }
    u64 const offset = selector & ~7u;
    linear = table.base + offset;
    return offset + 7 <= table.limit;
}

Segment segment_of(u16 selector, u64 raw) {
    Segment out;
    out.selector = selector;
    out.attributes = static_cast<u16>(descriptor::Attributes::get(raw) | descriptor::Flags::get(raw) << 8);
    out.base = descriptor::BaseLow::get(raw) | descriptor::BaseHigh::get(raw) << 24;
    u32 const limit =
        static_cast<u32>(descriptor::LimitLow::get(raw) | descriptor::LimitHigh::get(raw) << 16);
    out.limit = (out.attributes & segment::kGranularity) != 0 ? limit << 12 | 0xfff : limit;
    return out;
}

std::optional<Handler> handler_of_event(CpuView& cpu, GuestAccess& memory, SystemView& system, u8 vector) {
    if (!real_mode(cpu)) {
        return from_idt(cpu, memory, system, vector, 0);
    }
    DescriptorTable const table = system.read_idtr();
    if (4u * vector + 3 > table.limit) {
        return std::nullopt;
    }
    return from_vector_table(cpu, memory, table.base, vector);
}

std::optional<Handler> handler_of_instruction(CpuView& cpu, GuestAccess& memory, SystemView& system,
                                              decode::StepInstruction const& i) {
    if (real_mode(cpu)) {
        return handler_of_event(cpu, memory, system, i.vector);
    }
    if (virtual_8086(cpu) && i.int_n) {
        if (redirected(cpu, memory, i.vector)) {
            return from_vector_table(cpu, memory, 0, i.vector);
        }
        if (Iopl::get(cpu.read(Reg::Rflags)) != 3) {
            return std::nullopt; // #GP
        }
    }
    return from_idt(cpu, memory, system, i.vector, cpu.cpl());
}
} // namespace hv::debug
