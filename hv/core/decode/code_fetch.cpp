// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/code_fetch.hpp"

namespace hv::decode {
u64 linear_rip(CpuView& cpu, CodeMode mode) {
    u64 const rip = cpu.read(Reg::Rip);
    if (mode.code_bits == 64) {
        return rip;
    }
    return (cpu.read(Seg::Cs).base + (rip & 0xffff'ffff)) & 0xffff'ffff;
}

Result<Code, EmulationFailure> fetch_code(CpuView& cpu, GuestAccess& memory) {
    Code code;
    code.mode = code_mode(cpu);
    code.linear = linear_rip(cpu, code.mode);
    WalkIntent const intent{.access = Access::X, .set_accessed_dirty = false};
    auto const count = read_linear(memory, paging_state(cpu), code.linear, code.bytes, intent, code.beyond);
    if (!count.ok()) {
        return Err{EmulationFailure::of(count.error())};
    }
    code.count = static_cast<u8>(count.value());
    return code;
}
} // namespace hv::decode
