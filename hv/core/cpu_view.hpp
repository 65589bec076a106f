// SPDX-License-Identifier: Apache-2.0
// What decoders and the guest page walk may see and change of a virtual processor: a thin view, so that tests
// pass a struct and the core passes its VirtVcpu (hv/core/vcpu_view.hpp).
#pragma once
#include "hv/core/registers.hpp"

namespace hv {
/// One stopped virtual processor. Calls on the physical CPU it is loaded on; none allocates or blocks.
class CpuView {
  public:
    virtual ~CpuView() = default;
    virtual u64 read(Reg) = 0;
    /// Whole 64-bit register; callers merge narrower results themselves.
    virtual void write(Reg, u64) = 0;
    virtual Segment read(Seg) = 0;
    /// CR0, CR2, CR3, CR4 as the guest sees them.
    virtual u64 read(ControlReg) = 0;
    virtual u64 efer() = 0;
    virtual u8 cpl() = 0;
};

namespace segment {
// APM vol 2, "VMCB state save area": the packed attribute word of hv::Segment.
inline constexpr u16 kTypeMask = 0xf, kTypeExpandDown = 1u << 2, kTypeCode = 1u << 3, kS = 1u << 4,
                     kPresent = 1u << 7, kLong = 1u << 9, kDefaultBig = 1u << 10, kGranularity = 1u << 11;
} // namespace segment

/// How the bytes at RIP are to be read.
struct CodeMode {
    u8 code_bits = 64;  ///< default operand and address size: 16, 32 or 64
    u8 stack_bits = 64; ///< width of the stack pointer
    bool real = false;  ///< real-address or virtual-8086 mode: no descriptors, no protection
    constexpr bool operator==(CodeMode const&) const = default;
};

/// Source: Intel SDM vol 1, "Modes of operation"; vol 3A, "Code-segment descriptor" (L and D bits).
inline CodeMode code_mode(CpuView& cpu) {
    if ((cpu.read(ControlReg::Cr0) & cr0::kPe) == 0 || (cpu.read(Reg::Rflags) & rflags::kVirtual8086) != 0) {
        return {16, 16, true};
    }
    u16 const cs = cpu.read(Seg::Cs).attributes;
    if ((cpu.efer() & efer::kLma) != 0 && (cs & segment::kLong) != 0) {
        return {64, 64, false};
    }
    u16 const ss = cpu.read(Seg::Ss).attributes;
    return {static_cast<u8>((cs & segment::kDefaultBig) != 0 ? 32 : 16),
            static_cast<u8>((ss & segment::kDefaultBig) != 0 ? 32 : 16), false};
}
} // namespace hv
