// SPDX-License-Identifier: Apache-2.0
// A virtual processor's x87, SSE, AVX … state and how it is switched. The hypervisor itself is built without
// SSE, so the guest's state stays in the registers until another virtual processor is loaded: it is switched
// there, eagerly and whole. Pure: the instructions come in as a parameter (hv/arch/ops through FpuOps).
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/base/bits.hpp"
#include <span>

namespace hv {
/// XCR0 / XSTATE_BV components (SDM vol 1, "XSAVE-Supported Features and State-Component Bitmaps").
namespace xstate {
inline constexpr u64 kX87 = 1u << 0, kSse = 1u << 1, kAvx = 1u << 2, kAvx512 = 7u << 5;
inline constexpr u64 kTiles = 3u << 17; ///< AMX: 8 KiB a processor, not offered
inline constexpr u64 kOffered = kX87 | kSse | kAvx | kAvx512;
} // namespace xstate

/// What a processor's extended state consists of; the same for all of the machine.
struct FpuLayout {
    /// Components switched: all that the processor has (a bed that cannot intercept XSETBV lets the guest
    /// turn on any), tiles aside. 0: the processor has no XSAVE, and FXSAVE's 512 bytes are the whole.
    u64 switched = 0;
    u64 offered = xstate::kX87 | xstate::kSse; ///< what a guest may set in XCR0; bit 0 always
    u32 area_bytes = 512;                      ///< of one FpuState
};

/// What the processor's CPUID says about it. Any context.
/// Source: SDM vol 1, "Determination of the XSAVE Managed Feature Set"; component i: leaf 0Dh, sub-leaf i:
/// EAX bytes at EBX (standard form).
template <arch::CpuidAccess C>
FpuLayout read_fpu_layout(C& cpu) {
    FpuLayout layout;
    if (!Bits<26>::get(cpu.cpuid(1, 0).ecx)) {
        return layout;
    }
    arch::CpuidResult const main = cpu.cpuid(0xd, 0);
    u64 const supported = (u64{main.edx} << 32) | main.eax;
    layout.switched = supported & ~xstate::kTiles;
    layout.offered = supported & xstate::kOffered;
    if ((layout.offered & xstate::kAvx512) != xstate::kAvx512) {
        layout.offered &= ~xstate::kAvx512; // the three parts are legal together only
    }
    layout.area_bytes = 576;
    for (u32 i = 2; i < 63; ++i) {
        if ((layout.switched >> i & 1) != 0) {
            arch::CpuidResult const part = cpu.cpuid(0xd, i);
            u32 const end = part.ebx + part.eax;
            layout.area_bytes = end > layout.area_bytes ? end : layout.area_bytes;
        }
    }
    return layout;
}

/// The state of one virtual processor. Owns nothing: the area comes from whoever makes the virtual processor
/// (64-byte aligned, FpuLayout::area_bytes or more, at most a 4 KiB frame on every processor without tiles).
class FpuState {
  public:
    FpuState() = default;
    explicit FpuState(std::span<u8> area) : area_{area} { reset(); }

    /// The state after power-on as XRSTOR gives it: every component in its initial configuration, FCW 037Fh,
    /// MXCSR 1F80h, XCR0 = 1 (SDM vol 1, "State-Component Initial Configurations").
    void reset() {
        for (u8& byte : area_) {
            byte = 0;
        }
        area_[0] = 0x7f, area_[1] = 0x03;
        area_[24] = 0x80, area_[25] = 0x1f;
        xcr0 = xstate::kX87;
    }
    std::span<u8> area() const { return area_; }

    /// The guest's XCR0. The XSETBV handler of a loaded virtual processor writes the register itself too;
    /// save() reads it back from there.
    u64 xcr0 = xstate::kX87;

  private:
    std::span<u8> area_;
};

template <class O>
concept FpuOps = requires(O& ops, void* to, void const* from, u64 v) {
    ops.xsave64(to, v);
    ops.xrstor64(from, v);
    ops.fxsave64(to);
    ops.fxrstor64(from);
    ops.fninit();
    { ops.xgetbv(0u) } -> std::same_as<u64>;
    ops.xsetbv(0u, v);
};

/// Saves all of the processor's extended state. XCR0 is widened first: a component that the guest has
/// switched off keeps its contents, which are the guest's and nobody else's.
template <FpuOps O>
void save_fpu(O& ops, FpuLayout const& layout, FpuState& state) {
    if (layout.switched == 0) {
        ops.fxsave64(state.area().data());
        return;
    }
    state.xcr0 = ops.xgetbv(0);
    if (state.xcr0 != layout.switched) {
        ops.xsetbv(0, layout.switched);
    }
    ops.xsave64(state.area().data(), layout.switched);
}

/// Loads all of it. What the area does not hold gets its initial value, so nothing of the last guest stays:
/// AMD's XRSTOR and FXRSTOR leave the x87's opcode and its two pointers alone where no exception is pending
/// (APM vol 5, "FXRSTOR"), and FNINIT clears them.
template <FpuOps O>
void load_fpu(O& ops, FpuLayout const& layout, FpuState const& state) {
    ops.fninit();
    if (layout.switched == 0) {
        ops.fxrstor64(state.area().data());
        return;
    }
    ops.xsetbv(0, layout.switched);
    ops.xrstor64(state.area().data(), layout.switched);
    if (state.xcr0 != layout.switched) {
        ops.xsetbv(0, state.xcr0);
    }
}
} // namespace hv
