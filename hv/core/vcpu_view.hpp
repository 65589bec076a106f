// SPDX-License-Identifier: Apache-2.0
// The core's CpuView: a VirtVcpu seen through the decoders' window.
#pragma once
#include "hv/core/cpu_view.hpp"
#include "hv/core/virt_backend.hpp"

namespace hv {
/// Made on the stack of an exit handler; borrows the virtual processor.
class VcpuView final : public CpuView {
  public:
    explicit VcpuView(VirtVcpu& vcpu) : vcpu_{vcpu} {}
    u64 read(Reg r) override { return vcpu_.read(r); }
    void write(Reg r, u64 value) override { vcpu_.write(r, value); }
    Segment read(Seg s) override { return vcpu_.read(s); }
    u64 read(ControlReg c) override { return vcpu_.read(c); }
    u64 efer() override { return vcpu_.read(StateMsr::IA32_EFER); }
    u8 cpl() override { return vcpu_.cpl(); }

  private:
    VirtVcpu& vcpu_;
};
} // namespace hv
