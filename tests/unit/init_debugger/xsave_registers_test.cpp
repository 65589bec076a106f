// SPDX-License-Identifier: Apache-2.0
// Registers in an image as XSAVE64 stores it on this very processor, or as the manual lays it out.
#include "hv/init/debugger/xsave_registers.hpp"
#include <array>
#include <catch2/catch.hpp>
#include <vector>

using namespace hv;
using gdb::RegisterId;

namespace {
constexpr usize kImageBytes = 832, kHeader = 512;

struct Image {
    alignas(64) std::array<u8, kImageBytes> bytes{};
    Image() {
        bytes[0] = 0x7f, bytes[1] = 3;      // FCW
        bytes[24] = 0x80, bytes[25] = 0x1f; // MXCSR
        bytes[28] = 0xff, bytes[29] = 0xff; // MXCSR_MASK
        bytes[kHeader] = 7;
    }
    u32 number(RegisterId id) {
        u32 value = 0;
        REQUIRE(init::read_extended(bytes, id, {reinterpret_cast<u8*>(&value), 4}));
        return value;
    }
};
RegisterId after(RegisterId first, unsigned n) {
    return static_cast<RegisterId>(static_cast<unsigned>(first) + n);
}
} // namespace

TEST_CASE("each vector and floating-point register has its own place and keeps what is written", "[xsave]") {
    Image image;
    auto const value_of = [](unsigned n, usize size) {
        std::vector<u8> bytes(size);
        for (usize i = 0; i < size; ++i) {
            bytes[i] = static_cast<u8>(n * 16 + i + 1);
        }
        return bytes;
    };
    for (unsigned n = 0; n < 16; ++n) {
        CHECK(init::write_extended(image.bytes, after(RegisterId::Xmm0, n), value_of(n, 16)));
        CHECK(init::write_extended(image.bytes, after(RegisterId::Ymm0h, n), value_of(n + 16, 16)));
    }
    for (unsigned n = 0; n < 8; ++n) {
        CHECK(init::write_extended(image.bytes, after(RegisterId::St0, n), value_of(n + 40, 10)));
    }
    for (unsigned n = 0; n < 16; ++n) {
        std::vector<u8> low(16), high(16);
        REQUIRE(init::read_extended(image.bytes, after(RegisterId::Xmm0, n), low));
        REQUIRE(init::read_extended(image.bytes, after(RegisterId::Ymm0h, n), high));
        CHECK(low == value_of(n, 16));
        CHECK(high == value_of(n + 16, 16));
    }
    for (unsigned n = 0; n < 8; ++n) {
        std::vector<u8> st(10);
        REQUIRE(init::read_extended(image.bytes, after(RegisterId::St0, n), st));
        CHECK(st == value_of(n + 40, 10));
    }
    CHECK(image.number(RegisterId::Fctrl) == 0x37f);
    CHECK(image.number(RegisterId::Mxcsr) == 0x1f80);
}

TEST_CASE("the tag word is put together from one bit a register and the contents", "[xsave]") {
    Image image;
    CHECK(image.number(RegisterId::Ftag) == 0xffff);
    // One value pushed: TOP is 7, physical register 7 is ST0 = 1.0.
    image.bytes[3] = 7 << 3;
    image.bytes[4] = 0x80;
    u8 const one[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};
    REQUIRE(init::write_extended(image.bytes, RegisterId::St0, one));
    CHECK(image.number(RegisterId::Ftag) == 0x3fff); // valid: 0
    u8 const zero[10] = {};
    REQUIRE(init::write_extended(image.bytes, RegisterId::St0, zero));
    CHECK(image.number(RegisterId::Ftag) == 0x7fff); // zero: 1
    u8 const infinity[10] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f};
    REQUIRE(init::write_extended(image.bytes, RegisterId::St0, infinity));
    CHECK(image.number(RegisterId::Ftag) == 0xbfff); // special: 2
    u8 const all_empty[4] = {0xff, 0xff, 0, 0};
    REQUIRE(init::write_extended(image.bytes, RegisterId::Ftag, all_empty));
    CHECK(image.bytes[4] == 0);
}

TEST_CASE("upper halves that are not in use read zero and start from zero", "[xsave]") {
    Image image;
    image.bytes.back() = 0x55; // stale
    image.bytes[kHeader] = 3;
    std::vector<u8> high(16, 1);
    REQUIRE(init::read_extended(image.bytes, RegisterId::Ymm15h, high));
    CHECK(high == std::vector<u8>(16));
    REQUIRE(init::write_extended(image.bytes, RegisterId::Ymm0h, std::vector<u8>(16, 9)));
    CHECK(image.bytes[kHeader] == 7);
    REQUIRE(init::read_extended(image.bytes, RegisterId::Ymm15h, high));
    CHECK(high == std::vector<u8>(16));
}

TEST_CASE("each control register of the x87 has its own place, and takes nothing wider", "[xsave]") {
    Image image;
    constexpr struct {
        RegisterId id;
        u32 value;
    } kWritten[] = {{RegisterId::Fctrl, 0xe7f},       {RegisterId::Fstat, 0x2d41},
                    {RegisterId::Fop, 0x5a3},         {RegisterId::Fioff, 0x8020'4060},
                    {RegisterId::Fiseg, 0xffff'8000}, {RegisterId::Fooff, 0x9021'4161},
                    {RegisterId::Foseg, 0xffff'8001}};
    image.bytes[kHeader] = 0;
    for (auto const& w : kWritten) {
        u32 const wide = w.value | 0x1'0000;
        if (w.value <= 0xffff) {
            CHECK_FALSE(init::write_extended(image.bytes, w.id, {reinterpret_cast<u8 const*>(&wide), 4}));
        }
        CHECK(init::write_extended(image.bytes, w.id, {reinterpret_cast<u8 const*>(&w.value), 4}));
    }
    for (auto const& w : kWritten) {
        CHECK(image.number(w.id) == w.value);
    }
    CHECK(image.bytes[kHeader] == 1);
    u64 pointer;
    __builtin_memcpy(&pointer, &image.bytes[8], sizeof pointer); // FIP
    CHECK(pointer == 0xffff'8000'8020'4060);
}

TEST_CASE("a value of MXCSR that XRSTOR would fault for is refused", "[xsave]") {
    Image image;
    u8 const bad[4] = {0, 0, 1, 0}, good[4] = {0xc0, 0x1f, 0, 0};
    CHECK_FALSE(init::write_extended(image.bytes, RegisterId::Mxcsr, bad));
    CHECK(init::write_extended(image.bytes, RegisterId::Mxcsr, good));
    CHECK(image.number(RegisterId::Mxcsr) == 0x1fc0);
}

TEST_CASE("an image without AVX or without a header gives what it has", "[xsave]") {
    Image image;
    std::span<u8> const legacy{image.bytes.data(), 512};
    std::vector<u8> wide(16);
    CHECK(init::read_extended(legacy, RegisterId::Xmm3, wide));
    CHECK_FALSE(init::read_extended(legacy, RegisterId::Ymm3h, wide));
    CHECK_FALSE(init::write_extended(legacy, RegisterId::Ymm3h, wide));
    CHECK(init::write_extended(legacy, RegisterId::Xmm3, wide));
    CHECK_FALSE(init::read_extended({image.bytes.data(), 100}, RegisterId::Xmm3, wide));
    CHECK_FALSE(init::read_extended(image.bytes, RegisterId::Rax, wide));
}
