// SPDX-License-Identifier: Apache-2.0
// A backend on a fake processor with one virtual processor loaded, for the tests of SvmVcpu.
#pragma once
#include "hv/svm/svm_backend.hpp"
#include "hv/svm/svm_vcpu.hpp"
#include "hv/svm/vmcb_setup.hpp"
#include "tests/fakes/arena_frames.hpp"
#include "tests/unit/svm/fake_cpu.hpp"
#include <catch2/catch.hpp>

namespace hv::test {
struct Rig {
    FakeSvmCpu cpu;
    ArenaFrames frames{64};
    svm::SvmBackend backend;
    NestedMap* map = nullptr;
    svm::SvmVcpu* vcpu = nullptr;

    /// @param features CPUID Fn8000_000A EDX; the default is the emulator's
    /// @param extended  the same of Fn8000_0001
    explicit Rig(u32 features = 0x1001'0001, u32 extended = 0) {
        cpu.cpuid[0x8000'000a].edx = features;
        cpu.cpuid[0x8000'0001].edx = extended | arch::svm::kCpuidPage1Gb;
        REQUIRE(backend.enable_cpu(0, frames).ok());
        map = backend.create_nested_map(frames).take();
        cpu.map = static_cast<svm::NptMap const*>(map);
        vcpu = make_vcpu(1);
        vcpu->write(ControlReg::Cr0, cr0::kPe);
        vcpu->load();
    }
    ~Rig() {
        CHECK(cpu.wrong == std::vector<std::string>{});
        backend.destroy(vcpu, frames);
        backend.destroy(map, frames);
    }
    Rig(Rig const&) = delete;
    Rig& operator=(Rig const&) = delete;

    svm::SvmVcpu* make_vcpu(u16 tag) {
        return static_cast<svm::SvmVcpu*>(backend.create_vcpu({map, tag}, frames).take());
    }
    Exit const& run() { return vcpu->run(~0ull); }
    arch::Vmcb& vmcb() { return vcpu->vmcb_memory(); }
    bool trap_flag() { return (vcpu->read(Reg::Rflags) & rflags::kTrap) != 0; }
    /// A guest with interrupts on, in the shadow of STI, whose last exit was a nested fault at RIP.
    void stop_in_shadow() {
        vcpu->write(Reg::Rflags, rflags::kInterrupt);
        cpu.exit(arch::svm::exit::kNestedPageFault, 0x1'0000'0004, 0x5000,
                 [](arch::Vmcb& v, GuestGprs&) { v.control.interrupt_state = 1; });
        REQUIRE(run().kind == ExitKind::NestedFault);
    }
};

inline Event interrupt(u8 number) {
    return {Event::Type::External, number, false, 0};
}
inline Event fault(u8 number) {
    return {Event::Type::Exception, number, exception_has_error_code(number), 0};
}
} // namespace hv::test
