// SPDX-License-Identifier: Apache-2.0
// The SystemView of a VirtVcpu, as core/vcpu_view.hpp is its CpuView.
#pragma once
#include "hv/core/virt_backend.hpp"
#include "hv/debug/step_plan.hpp"

namespace hv::debug {
/// Made on the stack; borrows the virtual processor.
class VcpuSystemView final : public SystemView {
  public:
    explicit VcpuSystemView(VirtVcpu& vcpu) : vcpu_{vcpu} {}
    u64 read(StateMsr m) override { return vcpu_.read(m); }
    DescriptorTable read_idtr() override { return vcpu_.read_idtr(); }
    DescriptorTable read_gdtr() override { return vcpu_.read_gdtr(); }
    void write(Seg s, Segment const& value) override { vcpu_.write(s, value); }

  private:
    VirtVcpu& vcpu_;
};
} // namespace hv::debug
