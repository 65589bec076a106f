// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/agent_registers.hpp"
#include <catch2/catch.hpp>
#include <vector>

using namespace hv;
using namespace hv::gdb;

namespace {
constexpr Layout kWide{Arch::X64, true}, kNarrow{Arch::I386, true};
u8 id(RegisterId r) {
    return static_cast<u8>(r);
}
} // namespace

TEST_CASE("registers of a condition are named by what they are", "[gdb]") {
    std::vector<u8> e{0x26, 0, 5, 0x16, 0x40, 0x22, 5, 0x13, 0x27}; // $rdi == 5
    REQUIRE(name_registers(kWide, e));
    CHECK(e == std::vector<u8>{0x26, 0, id(RegisterId::Rdi), 0x16, 0x40, 0x22, 5, 0x13, 0x27});
    std::vector<u8> narrow{0x26, 0, 5, 0x27};
    REQUIRE(name_registers(kNarrow, narrow));
    CHECK(narrow[2] == id(RegisterId::Rbp));
}

TEST_CASE("operands are not taken for instructions", "[gdb]") {
    std::vector<u8> e{0x24, 0x26, 0,    5,    0x26, 0x25, 0x26, 0x26, 0x26, 0x26,
                      0x26, 0x26, 0x26, 0x26, 0x20, 0x26, 0x26, 0x22, 0x26, 0x27};
    auto const before = e;
    REQUIRE(name_registers(kWide, e));
    CHECK(e == before);
}

TEST_CASE("what conditions do not use, and what is cut short, is refused", "[gdb]") {
    for (std::vector<u8> e : {std::vector<u8>{0x26},
                              {0x26, 0},
                              {0x25, 1, 2, 3, 4, 5, 6, 7},
                              {0x24, 0, 0},
                              {0x20, 0},
                              {0x16},
                              {0x22}}) {
        CHECK_FALSE(name_registers(kWide, e));
    }
    for (u8 const op : {0x00, 0x01, 0x0c, 0x0d, 0x1b, 0x1f, 0x2c, 0x2f, 0x30, 0x31, 0x34, 0x35, 0xff}) {
        std::vector<u8> e{op, 0, 0, 0, 0};
        CHECK_FALSE(name_registers(kWide, e));
    }
    for (u8 const number : {200, 255}) { // no such register
        std::vector<u8> e{0x26, 0, number, 0x27};
        CHECK_FALSE(name_registers(kWide, e));
    }
    std::vector<u8> vector{0x26, 0, 60, 0x27}; // xmm
    CHECK(find_register(kWide, 60).wire_bytes() == 16);
    CHECK_FALSE(name_registers(kWide, vector));
    std::vector<u8> none;
    CHECK(name_registers(kWide, none));
}
