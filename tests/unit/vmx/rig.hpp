// SPDX-License-Identifier: Apache-2.0
// A backend on a fake processor with one virtual processor loaded, for the tests of VmxVcpu.
#pragma once
#include "hv/vmx/vcpu.hpp"
#include "tests/fakes/arena_frames.hpp"
#include "tests/unit/vmx/fake_cpu.hpp"
#include <catch2/catch.hpp>

namespace hv::test {
namespace vf = arch::vmcs;
using Reason = arch::vmx::ExitReason;
inline constexpr u64 kBreak0 = 1, kBreak1 = 2, kStepBit = 1u << 14;

struct Rig {
    FakeVmxCpu cpu;
    ArenaFrames frames{64};
    vmx::VmxBackend backend;
    NestedMap* map = nullptr;
    vmx::VmxVcpu* vcpu = nullptr;
    u32 kicked = 0;

    explicit Rig(FakeVmxCpu::Model const& model = {}) : cpu{model} {
        REQUIRE(backend.enable_cpu(0, frames).ok());
        map = backend.create_nested_map(frames).take();
        vcpu = make_vcpu(1);
        vcpu->load();
        vcpu->write(ControlReg::Cr0, cr0::kPe);
        vcpu->write(Reg::Rip, 0x1000);
        vcpu->write(Reg::Rflags, rflags::kInterrupt);
    }
    ~Rig() {
        CHECK(cpu.wrong == std::vector<std::string>{});
        vcpu->load();
        backend.destroy(vcpu, frames);
        backend.destroy(map, frames);
    }
    Rig(Rig const&) = delete;
    Rig& operator=(Rig const&) = delete;

    vmx::VmxVcpu* make_vcpu(u16 tag) {
        auto* const made = static_cast<vmx::VmxVcpu*>(backend.create_vcpu({map, tag}, frames).take());
        made->kicked = &kicked;
        return made;
    }
    Exit const& run() { return vcpu->run(~0ull); }
    Exit const& step() {
        vcpu->step_once();
        return run();
    }
    u64 rip() { return vcpu->read(Reg::Rip); }
    bool trap_flag() { return (vcpu->read(Reg::Rflags) & rflags::kTrap) != 0; }
    void set_trap_flag() { vcpu->write(Reg::Rflags, vcpu->read(Reg::Rflags) | rflags::kTrap); }
    u64 injected() const { return cpu.entry()[vf::vm_entry_interruption_information]; }
};

inline Event interrupt(u8 number) {
    return {Event::Type::External, number, false, 0};
}
inline Event exception(u8 number) {
    return {Event::Type::Exception, number, false, 0};
}
/// The exit is the #DB with exactly these causes.
inline bool is_debug(Exit const& exit, u64 causes) {
    return exit.kind == ExitKind::Exception && exit.exception.vector == vector::kDebug &&
           exit.exception.address == causes;
}
} // namespace hv::test
