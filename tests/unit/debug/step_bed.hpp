// SPDX-License-Identifier: Apache-2.0
// A processor with memory and descriptor tables, for planning and carrying out steps.
#pragma once
#include "hv/debug/step_plan.hpp"
#include "tests/unit/decode/fakes.hpp"
#include <map>

namespace hv::test {
struct FakeSystem : debug::SystemView {
    explicit FakeSystem(FakeCpu& c) : cpu{c} {}
    FakeCpu& cpu;
    std::map<u32, u64> msrs;
    DescriptorTable idtr, gdtr;

    u64 read(StateMsr m) override { return msrs[static_cast<u32>(m)]; }
    DescriptorTable read_idtr() override { return idtr; }
    DescriptorTable read_gdtr() override { return gdtr; }
    void write(Seg s, Segment const& value) override { cpu[s] = value; }
    u64& operator[](StateMsr m) { return msrs[static_cast<u32>(m)]; }
};

struct StepBed {
    static constexpr u64 kCode = 0x8000, kStack = 0x9000, kIdt = 0xa000, kGdt = 0xb000;
    FakeMemory memory;
    FakeCpu cpu;
    FakeSystem system{cpu};
    debug::StepStart start;

    StepBed() {
        system.idtr = {kIdt, 0xfff};
        system.gdtr = {kGdt, 0x7f};
        cpu[Reg::Rip] = kCode;
        cpu[Reg::Rsp] = kStack;
    }
    void long_mode() { cpu.long_mode(identity_tables(memory)); }
    void compatibility_mode() {
        long_mode();
        cpu[Seg::Cs].attributes = 0xc9b;
    }
    void protected_mode() {
        cpu.protected_mode();
        cpu.efer_value = 0;
    }
    /// 16-bit code at kCode with CS.base = @p base
    void real_mode(u64 base = 0) {
        cpu.real_mode();
        cpu[Seg::Cs].selector = static_cast<u16>(base >> 4);
        cpu[Seg::Cs].base = base;
        cpu[Reg::Rip] = kCode - base;
        system.idtr = {0, 0x3ff};
    }
    void virtual_8086(u64 iopl) {
        real_mode();
        cpu.control[0] = cr0::kPe;
        cpu.cpl_value = 3;
        cpu[Reg::Rflags] = 2 | rflags::kVirtual8086 | iopl << 12;
        system.idtr = {kIdt, 0xfff};
    }
    void code(std::initializer_list<u8> bytes) { memory.code(kCode, bytes); }
    debug::StepPlan plan() { return debug::plan_step(cpu, memory, system, start); }
    debug::StepPlan plan(std::initializer_list<u8> bytes) {
        code(bytes);
        return plan();
    }
    std::optional<debug::EmulatedStep> emulate() { return debug::emulate_step(cpu, memory, system, plan()); }
    /// A gate of the IDT. @param type 6, 7, e, f or 5
    void gate(u8 vector, u64 offset, u16 selector = 8, u8 type = 0xe, u8 dpl = 0) {
        u64 const low = (offset & 0xffff) | u64{selector} << 16 | u64{type} << 40 | u64{dpl} << 45 |
                        1ull << 47 | (offset >> 16 & 0xffff) << 48;
        bool const wide = (cpu.efer_value & efer::kLma) != 0;
        memory.put<u64>(kIdt + vector * (wide ? 16u : 8u), low);
        if (wide) memory.put<u64>(kIdt + vector * 16u + 8, offset >> 32);
    }
    /// A segment descriptor. @param attributes in Segment's packed form
    void descriptor(u16 selector, u32 base, u32 limit, u16 attributes) {
        memory.put<u64>(kGdt + (selector & ~7u),
                        (limit & 0xffffu) | u64{base & 0xffffffu} << 16 | u64{attributes & 0xffu} << 40 |
                            u64{limit >> 16 & 0xfu} << 48 | u64{attributes >> 8 & 0xfu} << 52 |
                            u64{base >> 24} << 56);
    }
};

using PlanKind = debug::StepPlan::Kind;
inline bool runs_to(debug::StepPlan const& plan, u64 address) {
    return plan.kind == PlanKind::RunTo && plan.reachable && plan.breakpoint_works && plan.address == address;
}
} // namespace hv::test
