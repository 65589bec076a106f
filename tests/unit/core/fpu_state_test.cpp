// SPDX-License-Identifier: Apache-2.0
// The processor here keeps its components as one number each, so that a leak between guests shows.
#include "hv/core/fpu_state.hpp"
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>

using namespace hv;

namespace {
/// Components 0, 1, 2 and 9 (PKRU); each one 8-byte value stored at 64 + 8 * number for simplicity.
struct FakeProcessor {
    u64 xcr0 = 1;
    std::array<u64, 10> component{};
    u64 x87_pointers = 0; ///< restoring leaves them alone, as on AMD

    arch::CpuidResult cpuid(u32 leaf, u32 subleaf) const {
        if (leaf == 1) {
            return {0, 0, 1u << 26, 0};
        }
        if (leaf == 0xd) {
            switch (subleaf) {
            case 0: return {0x207 | 0x18, 0x240, 0xa88, 0}; // MPX too
            case 2: return {0x100, 0x240, 0, 0};
            case 3: return {0x40, 0x3c0, 0, 0};
            case 4: return {0x40, 0x400, 0, 0};
            case 9: return {8, 0xa80, 0, 0};
            default: return {0, 0, 0, 0};
            }
        }
        return {};
    }
    void xsave64(void* to, u64 mask) const {
        auto* words = static_cast<u64*>(to);
        u64 const saved = mask & xcr0;
        for (unsigned i = 0; i < 10; ++i) {
            if ((saved >> i & 1) != 0) {
                words[8 + i] = component[i];
            }
        }
        words[64] = (words[64] & ~saved) | saved; // XSTATE_BV at 512
    }
    void xrstor64(void const* from, u64 mask) {
        auto const* words = static_cast<u64 const*>(from);
        for (unsigned i = 0; i < 10; ++i) {
            if ((mask & xcr0) >> i & 1) {
                component[i] = (words[64] >> i & 1) != 0 ? words[8 + i] : 0;
            }
        }
    }
    void fxsave64(void*) {}
    void fxrstor64(void const*) {}
    void fninit() { component[0] = x87_pointers = 0; }
    u64 xgetbv(u32) const { return xcr0; }
    void xsetbv(u32, u64 v) { xcr0 = v; }
};
struct Guest {
    alignas(64) std::array<u8, 4096> area{};
    FpuState state{area};
};
} // namespace

TEST_CASE("the layout is what CPUID adds up to", "[fpu]") {
    FakeProcessor cpu;
    FpuLayout const layout = read_fpu_layout(cpu);
    CHECK(layout.switched == 0x21f);
    CHECK(layout.offered == 7);
    CHECK(layout.area_bytes == 0xa88);
}

TEST_CASE("a processor without XSAVE has 512 bytes", "[fpu]") {
    struct Old {
        arch::CpuidResult cpuid(u32, u32) const { return {}; }
    } old;
    FpuLayout const layout = read_fpu_layout(old);
    CHECK(layout.switched == 0);
    CHECK(layout.area_bytes == 512);
}

TEST_CASE("each guest finds its own registers, also those it has switched off", "[fpu]") {
    FakeProcessor cpu;
    FpuLayout const layout = read_fpu_layout(cpu);
    Guest a, b;
    load_fpu(cpu, layout, a.state);
    CHECK(cpu.xcr0 == 1);
    cpu.xcr0 = 7;
    cpu.component = {1, 2, 3};
    cpu.x87_pointers = 0xbad;
    cpu.component[9] = 99;
    cpu.xcr0 = 3; // its AVX state is still in the registers
    save_fpu(cpu, layout, a.state);
    CHECK(a.state.xcr0 == 3);

    load_fpu(cpu, layout, b.state);
    CHECK(cpu.component == std::array<u64, 10>{}); // nothing of a
    CHECK(cpu.x87_pointers == 0);
    CHECK(cpu.xcr0 == 1);
    cpu.component = {10, 20, 30, 40, 50};
    cpu.xcr0 = layout.switched;
    save_fpu(cpu, layout, b.state);

    load_fpu(cpu, layout, a.state);
    CHECK(cpu.xcr0 == 3);
    CHECK(cpu.component[2] == 3);
    CHECK(cpu.component[4] == 0);
    CHECK(cpu.component[9] == 99);
}

TEST_CASE("a reset guest starts with the power-on values", "[fpu]") {
    Guest guest;
    guest.area.fill(0xee);
    guest.state.xcr0 = 7;
    guest.state.reset();
    CHECK(guest.state.xcr0 == 1);
    u16 control = 0;
    u32 mxcsr = 0;
    std::memcpy(&control, guest.area.data(), 2);
    std::memcpy(&mxcsr, guest.area.data() + 24, 4);
    CHECK(control == 0x37f);
    CHECK(mxcsr == 0x1f80);
    CHECK(std::count(guest.area.begin() + 28, guest.area.end(), 0) == 4096 - 28);
}
