// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/agent_expression.hpp"
#include <utility>

namespace hv::debug {
namespace {
// GDB manual, "Agent Expressions: Bytecode Descriptions".
namespace op {
enum : u8 {
    kAdd = 0x02,
    kSub,
    kMul,
    kDivSigned,
    kDivUnsigned,
    kRemSigned,
    kRemUnsigned,
    kLsh,
    kRshSigned,
    kRshUnsigned,
    kLogNot = 0x0e,
    kBitAnd,
    kBitOr,
    kBitXor,
    kBitNot,
    kEqual,
    kLessSigned,
    kLessUnsigned,
    kExt,
    kRef8,
    kRef16,
    kRef32,
    kRef64,
    kIfGoto = 0x20,
    kGoto,
    kConst8,
    kConst16,
    kConst32,
    kConst64,
    kReg,
    kEnd,
    kDup,
    kPop,
    kZeroExt,
    kSwap,
    kPick = 0x32,
    kRot,
};
} // namespace op
static_assert(op::kRshUnsigned == 0x0b && op::kRef64 == 0x1a && op::kSwap == 0x2b && op::kRot == 0x33);

/// By opcode: how many values the stack must have, in bits 5:4, and how many bytes of operand follow, in bits
/// 3:0.
class Shapes {
  public:
    static constexpr u8 kUnknown = 0; ///< not for conditions; no other looks like that
    constexpr Shapes() : of_{} {
        set(op::kAdd, op::kRshUnsigned, 2, 0);
        set(op::kLogNot, op::kLogNot, 1, 0);
        set(op::kBitAnd, op::kLessUnsigned, 2, 0);
        set(op::kBitNot, op::kBitNot, 1, 0);
        set(op::kExt, op::kExt, 1, 1);
        set(op::kRef8, op::kRef64, 1, 0);
        set(op::kIfGoto, op::kIfGoto, 1, 2);
        set(op::kGoto, op::kGoto, 0, 2);
        set(op::kConst8, op::kConst8, 0, 1);
        set(op::kConst16, op::kConst16, 0, 2);
        set(op::kConst32, op::kConst32, 0, 4);
        set(op::kConst64, op::kConst64, 0, 8);
        set(op::kReg, op::kReg, 0, 2);
        set(op::kEnd, op::kPop, 1, 0);
        set(op::kZeroExt, op::kZeroExt, 1, 1);
        set(op::kSwap, op::kSwap, 2, 0);
        set(op::kPick, op::kPick, 1, 1);
        set(op::kRot, op::kRot, 3, 0);
    }
    u8 operator[](u8 code) const { return of_[code]; }
    static usize values(u8 shape) { return shape >> 4; }
    static usize operand_bytes(u8 shape) { return shape & 0xf; }

  private:
    constexpr void set(u8 first, u8 last, u8 values, u8 operand_bytes) {
        for (u8 code = first; code <= last; ++code) {
            of_[code] = static_cast<u8>(values << 4 | operand_bytes);
        }
    }
    u8 of_[256];
};
constexpr Shapes kShapes;

/// @return false where it would be a #DE of ours
bool divide(u8 code, u64 left, u64 right, u64& out) {
    bool const is_signed = code == op::kDivSigned || code == op::kRemSigned;
    if (right == 0 || (is_signed && left == 1ull << 63 && right == ~0ull)) {
        return false;
    }
    s64 const a = static_cast<s64>(left), b = static_cast<s64>(right);
    switch (code) {
    case op::kDivSigned: out = static_cast<u64>(a / b); break;
    case op::kRemSigned: out = static_cast<u64>(a % b); break;
    case op::kDivUnsigned: out = left / right; break;
    default: out = left % right; break;
    }
    return true;
}

/// The lowest @p bits (1 … 64) of @p value, with their sign or without.
u64 extend(u64 value, unsigned bits, bool is_signed) {
    unsigned const shift = 64 - bits;
    u64 const up = value << shift;
    return is_signed ? static_cast<u64>(static_cast<s64>(up) >> shift) : up >> shift;
}

/// @return false: DivideError
bool binary(u8 code, u64 left, u64 right, u64& out) {
    s64 const a = static_cast<s64>(left), b = static_cast<s64>(right);
    switch (code) {
    case op::kAdd: out = left + right; return true;
    case op::kSub: out = left - right; return true;
    case op::kMul: out = left * right; return true;
    case op::kLsh: out = right < 64 ? left << right : 0; return true;
    case op::kRshSigned: out = static_cast<u64>(a >> (right < 64 ? right : 63)); return true;
    case op::kRshUnsigned: out = right < 64 ? left >> right : 0; return true;
    case op::kBitAnd: out = left & right; return true;
    case op::kBitOr: out = left | right; return true;
    case op::kBitXor: out = left ^ right; return true;
    case op::kEqual: out = left == right; return true;
    case op::kLessSigned: out = a < b; return true;
    case op::kLessUnsigned: out = left < right; return true;
    default: return divide(code, left, right, out);
    }
}

bool refer(AgentContext& context, u8 code, u64& value) {
    u64 loaded = 0;
    usize const bytes = usize{1} << (code - op::kRef8);
    bool const ok = context.read_memory(value, {reinterpret_cast<u8*>(&loaded), bytes});
    value = loaded;
    return ok;
}

u16 word(u8 const* bytes) {
    return static_cast<u16>(bytes[0] << 8 | bytes[1]);
}

u64 big_endian(u8 const* bytes, usize count) {
    u64 value = 0;
    for (usize i = 0; i < count; ++i) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/// The state is in locals, for the compiler to keep in registers: this runs at every hit of a breakpoint.
Result<u64, AgentError> run(std::span<u8 const> code, AgentContext& context) {
    // One place more than may be used, to notice the overflow, and three zeros below the floor, which no
    // operation reaches: it looks at three values at most, and only if they are there.
    constexpr usize kFloor = 3;
    u64 stack[kFloor + kMaxAgentStack + 1];
    stack[0] = stack[1] = stack[2] = 0;
    usize depth = 0;
    unsigned reads = 0;
    u8 const* at = code.data();
    u8 const* const end = at + code.size();
    while (at != end) {
        u8 const* const start = at;
        u8 const operation = *at++;
        u8 const shape = kShapes[operation];
        if (depth < Shapes::values(shape)) {
            return Err{AgentError::StackUnderflow};
        }
        usize const operand_bytes = Shapes::operand_bytes(shape);
        if (static_cast<usize>(end - at) < operand_bytes) {
            return Err{AgentError::Truncated};
        }
        u8 const* const operand = at;
        at += operand_bytes;
        u64* const top = stack + kFloor + depth - 1;
        switch (operation) {
        case op::kEnd: return *top;
        case op::kConst8: stack[kFloor + depth++] = *operand; break;
        case op::kConst16:
        case op::kConst32:
        case op::kConst64: stack[kFloor + depth++] = big_endian(operand, operand_bytes); break;
        case op::kReg:
            if (!context.read_register(word(operand), stack[kFloor + depth++])) {
                return Err{AgentError::NoRegister};
            }
            break;
        case op::kDup: stack[kFloor + depth++] = *top; break;
        case op::kPick:
            if (*operand >= depth) {
                return Err{AgentError::StackUnderflow};
            }
            stack[kFloor + depth++] = top[-*operand];
            break;
        case op::kExt:
        case op::kZeroExt:
            if (*operand == 0 || *operand > 64) {
                return Err{AgentError::BadCount};
            }
            *top = extend(*top, *operand, operation == op::kExt);
            break;
        case op::kIfGoto:
            --depth;
            if (*top == 0) {
                break;
            }
            [[fallthrough]];
        case op::kGoto:
            if (word(operand) <= start - code.data() || word(operand) >= end - code.data()) {
                return Err{AgentError::BadJump};
            }
            at = code.data() + word(operand);
            break;
        case op::kLogNot: *top = *top == 0; break;
        case op::kBitNot: *top = ~*top; break;
        case op::kRef8:
        case op::kRef16:
        case op::kRef32:
        case op::kRef64:
            if (++reads > kMaxAgentReads) {
                return Err{AgentError::TooManyReads};
            }
            if (!refer(context, operation, *top)) {
                return Err{AgentError::NoMemory};
            }
            break;
        case op::kPop: --depth; break;
        case op::kSwap: std::swap(top[0], top[-1]); break;
        case op::kRot: // a b c => c a b
            std::swap(top[0], top[-1]);
            std::swap(top[-1], top[-2]);
            break;
        default:
            if (shape == Shapes::kUnknown) {
                return Err{AgentError::UnknownOpcode};
            }
            --depth;
            if (!binary(operation, top[-1], top[0], top[-1])) {
                return Err{AgentError::DivideError};
            }
        }
        if (depth > kMaxAgentStack) {
            return Err{AgentError::StackOverflow};
        }
    }
    return Err{AgentError::Truncated};
}
} // namespace

Result<u64, AgentError> evaluate(std::span<u8 const> code, AgentContext& context) {
    if (code.size() > kMaxExpressionBytes) {
        return Err{AgentError::TooLong};
    }
    return run(code, context);
}
} // namespace hv::debug
