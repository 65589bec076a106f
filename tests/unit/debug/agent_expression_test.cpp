// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/agent_expression.hpp"
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <vector>

using namespace hv;
using namespace hv::debug;

namespace {
struct Context : AgentContext {
    std::map<u16, u64> registers;
    u64 base = 0x1000; ///< of `memory`
    std::vector<u8> memory = {0x11, 0x22, 0x33, 0x84, 0x55, 0x66, 0x77, 0x88};
    unsigned reads = 0;

    bool read_register(u16 number, u64& value) override {
        auto const found = registers.find(number);
        if (found == registers.end()) return false;
        value = found->second;
        return true;
    }
    bool read_memory(u64 linear, std::span<u8> to) override {
        ++reads;
        if (linear < base || linear - base > memory.size() || to.size() > memory.size() - (linear - base)) {
            return false;
        }
        std::memcpy(to.data(), memory.data() + (linear - base), to.size());
        return true;
    }
};

using Code = std::vector<u8>;
constexpr u8 kEnd = 0x27;

Code number(u64 value) {
    Code code{0x25};
    for (int shift = 56; shift >= 0; shift -= 8)
        code.push_back(static_cast<u8>(value >> shift));
    return code;
}
Code operator+(Code a, Code const& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
u64 value(Code const& code, Context context = {}) {
    auto const r = evaluate(code, context);
    REQUIRE(r.ok());
    return r.value();
}
AgentError error(Code const& code, Context context = {}) {
    auto const r = evaluate(code, context);
    REQUIRE(!r.ok());
    return r.error();
}
u64 binary(u8 op, u64 left, u64 right) {
    return value(number(left) + number(right) + Code{op, kEnd});
}
constexpr u64 kMinusOne = ~0ull, kLowest = 1ull << 63;
} // namespace

TEST_CASE("what gdb compiles for a register condition is evaluated", "[debug]") {
    Code const rdi_is_5 = {0x26, 0x00, 0x05, 0x16, 0x40, 0x22, 0x05, 0x13, 0x27};
    Context context;
    context.registers[5] = 5;
    CHECK(value(rdi_is_5, context) == 1);
    context.registers[5] = 6;
    CHECK(value(rdi_is_5, context) == 0);
    CHECK(error(rdi_is_5) == AgentError::NoRegister);
}

TEST_CASE("what gdb compiles for a kernel variable reads it at its sign-extended address", "[debug]") {
    Context context;
    context.base = 0xffff'ffff'8210'0014;
    CHECK(value({0x24, 0x82, 0x10, 0x00, 0x14, 0x16, 0x20, 0x17, kEnd}, context) == 0x11);
    CHECK(value({0x24, 0x82, 0x10, 0x00, 0x14, 0x16, 0x20, 0x18, kEnd}, context) == 0x2211);
    CHECK(value({0x24, 0x82, 0x10, 0x00, 0x14, 0x16, 0x20, 0x19, kEnd}, context) == 0x84332211);
    CHECK(value({0x24, 0x82, 0x10, 0x00, 0x14, 0x16, 0x20, 0x1a, kEnd}, context) == 0x8877665584332211);
    CHECK(error({0x24, 0x82, 0x10, 0x00, 0x15, 0x16, 0x20, 0x1a, kEnd}, context) == AgentError::NoMemory);
}

TEST_CASE("a logical and made of forward jumps takes the right way", "[debug]") {
    // rax > 1 && rbx < 5, shaped as gdb does it
    Code const code = {
        0x26, 0, 0,    0x22, 1, 0x2b, 0x14, 0x20, 0,  13,   0x21, 0,  26, // 0: rax > 1? no: to 26
        0x26, 0, 1,    0x22, 5, 0x14, 0x20, 0,    29, 0x21, 0,    26, 0,  // 13: rbx < 5? yes: to 29
        0x22, 0, kEnd,                                                    // 26
        0x22, 1, kEnd};                                                   // 29
    auto const run = [&](u64 rax, u64 rbx) {
        Context context;
        context.registers = {{0, rax}, {1, rbx}};
        return value(code, context);
    };
    CHECK(run(2, 4) == 1);
    CHECK(run(1, 4) == 0);
    CHECK(run(2, 5) == 0);
    CHECK(run(2, kMinusOne) == 1); // signed
}

TEST_CASE("arithmetic is of 64 bits and wraps", "[debug]") {
    CHECK(binary(0x02, kMinusOne, 2) == 1);
    CHECK(binary(0x03, 1, 2) == kMinusOne);
    CHECK(binary(0x04, 1ull << 63, 2) == 0);
    CHECK(binary(0x0f, 0xff00, 0x0ff0) == 0x0f00);
    CHECK(binary(0x10, 0xff00, 0x0ff0) == 0xfff0);
    CHECK(binary(0x11, 0xff00, 0x0ff0) == 0xf0f0);
    CHECK(value(number(0xff00) + Code{0x12, kEnd}) == ~0xff00ull);
    CHECK(value(number(7) + Code{0x0e, kEnd}) == 0);
    CHECK(value(number(0) + Code{0x0e, kEnd}) == 1);
}

TEST_CASE("comparisons know the sign where they are told", "[debug]") {
    CHECK(binary(0x13, 5, 5) == 1);
    CHECK(binary(0x13, 5, 6) == 0);
    CHECK(binary(0x14, kMinusOne, 0) == 1);
    CHECK(binary(0x14, 0, kMinusOne) == 0);
    CHECK(binary(0x15, kMinusOne, 0) == 0);
    CHECK(binary(0x15, 0, kMinusOne) == 1);
}

TEST_CASE("division that would trap is an error, any other is exact", "[debug]") {
    CHECK(binary(0x05, static_cast<u64>(-7), 2) == static_cast<u64>(-3));
    CHECK(binary(0x07, static_cast<u64>(-7), 2) == kMinusOne);
    CHECK(binary(0x06, kMinusOne, 2) == kMinusOne / 2);
    CHECK(binary(0x08, kMinusOne, 10) == 5);
    CHECK(binary(0x06, kLowest, kMinusOne) == 0);
    CHECK(binary(0x08, kLowest, kMinusOne) == kLowest);
    for (u8 op : {u8{5}, u8{6}, u8{7}, u8{8}}) {
        CHECK(error(number(1) + number(0) + Code{op, kEnd}) == AgentError::DivideError);
    }
    CHECK(error(number(kLowest) + number(kMinusOne) + Code{0x05, kEnd}) == AgentError::DivideError);
    CHECK(error(number(kLowest) + number(kMinusOne) + Code{0x07, kEnd}) == AgentError::DivideError);
}

TEST_CASE("shifts by 64 and more leave nothing but the sign", "[debug]") {
    CHECK(binary(0x09, 1, 63) == kLowest);
    CHECK(binary(0x09, 1, 64) == 0);
    CHECK(binary(0x09, 1, kMinusOne) == 0);
    CHECK(binary(0x0a, kLowest, 63) == kMinusOne);
    CHECK(binary(0x0a, kLowest, 64) == kMinusOne);
    CHECK(binary(0x0a, kLowest - 1, kMinusOne) == 0);
    CHECK(binary(0x0b, kLowest, 63) == 1);
    CHECK(binary(0x0b, kLowest, 64) == 0);
}

TEST_CASE("extensions take 1 to 64 bits", "[debug]") {
    auto const extended = [](u64 of, u8 op, u8 bits) { return value(number(of) + Code{op, bits, kEnd}); };
    CHECK(extended(0xff80, 0x16, 8) == static_cast<u64>(-128));
    CHECK(extended(0xff7f, 0x16, 8) == 0x7f);
    CHECK(extended(0xff80, 0x2a, 8) == 0x80);
    CHECK(extended(3, 0x16, 1) == kMinusOne);
    CHECK(extended(kLowest | 1, 0x16, 64) == (kLowest | 1));
    CHECK(extended(kLowest | 1, 0x2a, 64) == (kLowest | 1));
    for (u8 op : {u8{0x16}, u8{0x2a}}) {
        CHECK(error(number(1) + Code{op, 0, kEnd}) == AgentError::BadCount);
        CHECK(error(number(1) + Code{op, 65, kEnd}) == AgentError::BadCount);
        CHECK(error(number(1) + Code{op}) == AgentError::Truncated);
    }
}

TEST_CASE("constants are big-endian and unsigned", "[debug]") {
    CHECK(value({0x22, 0xfe, kEnd}) == 0xfe);
    CHECK(value({0x23, 0xfe, 0xdc, kEnd}) == 0xfedc);
    CHECK(value({0x24, 0xfe, 0xdc, 0xba, 0x98, kEnd}) == 0xfedcba98);
    CHECK(value(number(0xfedcba9876543210) + Code{kEnd}) == 0xfedcba9876543210);
}

TEST_CASE("stack operations move values as gdb documents them", "[debug]") {
    Code const abc = {0x22, 1, 0x22, 2, 0x22, 3};
    CHECK(value(abc + Code{0x2b, kEnd}) == 2);       // swap
    CHECK(value(abc + Code{0x29, kEnd}) == 2);       // pop
    CHECK(value(abc + Code{0x28, 0x02, kEnd}) == 6); // dup
    CHECK(value(abc + Code{0x32, 0, kEnd}) == 3);    // pick the top
    CHECK(value(abc + Code{0x32, 2, kEnd}) == 1);    // pick the deepest
    CHECK(value(abc + Code{0x33, kEnd}) == 2);       // rot: a b c => c a b
    CHECK(value(abc + Code{0x33, 0x29, kEnd}) == 1);
    CHECK(value(abc + Code{0x33, 0x29, 0x29, kEnd}) == 3);
    CHECK(error(abc + Code{0x32, 3, kEnd}) == AgentError::StackUnderflow);
}

TEST_CASE("an expression cannot run for ever", "[debug]") {
    CHECK(error({0x21, 0, 0}) == AgentError::BadJump);
    CHECK(error({0x22, 1, 0x20, 0, 0, kEnd}) == AgentError::BadJump);
    CHECK(error({0x22, 1, 0x20, 0, 2, kEnd}) == AgentError::BadJump); // to itself
    CHECK(error({0x22, 1, 0x20, 0, 6, kEnd}) == AgentError::BadJump); // past the end
    CHECK(error({0x22, 1, 0x20, 0xff, 0xff, kEnd}) == AgentError::BadJump);
    CHECK(value({0x22, 7, 0x22, 0, 0x20, 0, 0, kEnd}) == 7); // not taken: where it leads does not matter
    CHECK(error(Code(kMaxExpressionBytes + 1, kEnd)) == AgentError::TooLong);
}

TEST_CASE("the stack has a floor and a ceiling", "[debug]") {
    Code full;
    for (usize i = 0; i < kMaxAgentStack; ++i)
        full = full + Code{0x22, 1};
    CHECK(value(full + Code{kEnd}) == 1);
    for (Code const& one_more :
         {Code{0x22, 1}, Code{0x28}, Code{0x32, 0}, Code{0x25, 0, 0, 0, 0, 0, 0, 0, 0}}) {
        CHECK(error(full + one_more + Code{kEnd}) == AgentError::StackOverflow);
    }
    Context context;
    context.registers[0] = 1;
    CHECK(error(full + Code{0x26, 0, 0, kEnd}, context) == AgentError::StackOverflow);
    CHECK(error({kEnd}) == AgentError::StackUnderflow);
    for (u8 op : {0x02, 0x05, 0x0b, 0x0f, 0x13, 0x15, 0x2b}) {
        CHECK(error({0x22, 1, op, kEnd}) == AgentError::StackUnderflow);
    }
    for (u8 op : {0x0e, 0x12, 0x16, 0x17, 0x1a, 0x20, 0x28, 0x29, 0x2a, 0x32}) {
        CHECK(error({op, 1, 1, kEnd}) == AgentError::StackUnderflow);
    }
    CHECK(error({0x22, 1, 0x22, 1, 0x33, kEnd}) == AgentError::StackUnderflow);
}

TEST_CASE("code that is cut off is an error", "[debug]") {
    CHECK(error({}) == AgentError::Truncated);
    CHECK(error({0x22}) == AgentError::Truncated);
    CHECK(error({0x22, 1}) == AgentError::Truncated);
    CHECK(error({0x23, 1}) == AgentError::Truncated);
    CHECK(error({0x25, 1, 2, 3, 4, 5, 6, 7}) == AgentError::Truncated);
    CHECK(error({0x26, 0}) == AgentError::Truncated);
    CHECK(error({0x22, 1, 0x20, 0}) == AgentError::Truncated);
}

TEST_CASE("operations that trace, print or write are refused", "[debug]") {
    for (unsigned op = 0; op < 256; ++op) {
        bool const known = (op >= 0x02 && op <= 0x0b) || (op >= 0x0e && op <= 0x1a) ||
                           (op >= 0x20 && op <= 0x2b) || op == 0x32 || op == 0x33;
        Context context;
        Code const code = Code{0x22, 1,    0x22, 1,    0x22, 1,   static_cast<u8>(op), kEnd, kEnd,
                               kEnd, kEnd, kEnd, kEnd, kEnd, kEnd};
        auto const r = evaluate(code, context);
        CHECK((!r.ok() && r.error() == AgentError::UnknownOpcode) == !known);
    }
}

TEST_CASE("an expression may read memory only so often", "[debug]") {
    Code code;
    Context context;
    for (unsigned i = 0; i < kMaxAgentReads; ++i)
        code = code + Code{0x23, 0x10, 0x00, 0x17, 0x29};
    CHECK(value(code + Code{0x22, 9, kEnd}, context) == 9);
    auto const r = evaluate(code + Code{0x23, 0x10, 0x00, 0x17, kEnd}, context);
    REQUIRE(!r.ok());
    CHECK(r.error() == AgentError::TooManyReads);
    CHECK(context.reads == kMaxAgentReads);
}
