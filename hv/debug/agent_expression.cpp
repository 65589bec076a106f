// SPDX-License-Identifier: Apache-2.0
#include "hv/debug/agent_expression.hpp"

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

constexpr bool is_binary(u8 code) {
    return (code >= op::kAdd && code <= op::kRshUnsigned) ||
           (code >= op::kBitAnd && code <= op::kLessUnsigned && code != op::kBitNot);
}

Result<u64, AgentError> divide(u8 code, u64 left, u64 right) {
    bool const is_signed = code == op::kDivSigned || code == op::kRemSigned;
    if (right == 0 || (is_signed && left == 1ull << 63 && right == ~0ull)) {
        return Err{AgentError::DivideError}; // either would be a #DE of ours
    }
    s64 const a = static_cast<s64>(left), b = static_cast<s64>(right);
    switch (code) {
    case op::kDivSigned: return static_cast<u64>(a / b);
    case op::kRemSigned: return static_cast<u64>(a % b);
    case op::kDivUnsigned: return left / right;
    default: return left % right;
    }
}

Result<u64, AgentError> binary(u8 code, u64 left, u64 right) {
    s64 const a = static_cast<s64>(left), b = static_cast<s64>(right);
    switch (code) {
    case op::kAdd: return left + right;
    case op::kSub: return left - right;
    case op::kMul: return left * right;
    case op::kLsh: return right < 64 ? left << right : 0;
    case op::kRshSigned: return static_cast<u64>(a >> (right < 64 ? right : 63));
    case op::kRshUnsigned: return right < 64 ? left >> right : 0;
    case op::kBitAnd: return left & right;
    case op::kBitOr: return left | right;
    case op::kBitXor: return left ^ right;
    case op::kEqual: return u64{left == right};
    case op::kLessSigned: return u64{a < b};
    case op::kLessUnsigned: return u64{left < right};
    default: return divide(code, left, right);
    }
}

/// The lowest @p bits (1 … 64) of @p value, with their sign or without.
u64 extend(u64 value, unsigned bits, bool is_signed) {
    unsigned const shift = 64 - bits;
    u64 const up = value << shift;
    return is_signed ? static_cast<u64>(static_cast<s64>(up) >> shift) : up >> shift;
}

class Machine {
  public:
    Machine(std::span<u8 const> code, AgentContext& context) : code_{code}, context_{context} {}
    Result<u64, AgentError> run();

  private:
    Result<void, AgentError> simple(u8 code);
    Result<void, AgentError> refer(unsigned bytes);

    /// @p bytes (1 … 8) of operand, big-endian; false: there are not as many.
    bool operand(unsigned bytes, u64& value) {
        if (code_.size() - at_ < bytes) {
            return false;
        }
        value = 0;
        for (unsigned i = 0; i < bytes; ++i) {
            value = value << 8 | code_[at_ + i];
        }
        at_ += bytes;
        return true;
    }
    bool push(u64 value) {
        if (depth_ == kMaxAgentStack) {
            return false;
        }
        stack_[depth_++] = value;
        return true;
    }
    u64& top(usize below = 0) { return stack_[depth_ - 1 - below]; }

    std::span<u8 const> code_;
    AgentContext& context_;
    usize at_ = 0;
    usize depth_ = 0;
    unsigned reads_ = 0;
    u64 stack_[kMaxAgentStack]; // only what is below depth_ has a value
};

Result<void, AgentError> Machine::refer(unsigned bytes) {
    if (++reads_ > kMaxAgentReads) {
        return Err{AgentError::TooManyReads};
    }
    u64 value = 0;
    if (!context_.read_memory(top(), {reinterpret_cast<u8*>(&value), bytes})) {
        return Err{AgentError::NoMemory};
    }
    top() = value;
    return {};
}

/// What works on values that are on the stack: its depth has been checked.
Result<void, AgentError> Machine::simple(u8 code) {
    if (is_binary(code)) {
        u64 const right = top();
        --depth_;
        top() = HV_TRY(binary(code, top(), right));
        return {};
    }
    u64 const value = top();
    switch (code) {
    case op::kLogNot: top() = value == 0; return {};
    case op::kBitNot: top() = ~value; return {};
    case op::kRef8: return refer(1);
    case op::kRef16: return refer(2);
    case op::kRef32: return refer(4);
    case op::kRef64: return refer(8);
    case op::kPop: --depth_; return {};
    case op::kSwap:
        top() = top(1);
        top(1) = value;
        return {};
    case op::kRot: // a b c => c a b
        top() = top(1);
        top(1) = top(2);
        top(2) = value;
        return {};
    default: return Err{AgentError::UnknownOpcode};
    }
}

/// How many values an operation needs.
constexpr usize needed(u8 code) {
    if (is_binary(code) || code == op::kSwap) {
        return 2;
    }
    switch (code) {
    case op::kGoto:
    case op::kConst8:
    case op::kConst16:
    case op::kConst32:
    case op::kConst64:
    case op::kReg: return 0;
    case op::kRot: return 3;
    default: return 1;
    }
}

Result<u64, AgentError> Machine::run() {
    while (at_ < code_.size()) {
        usize const start = at_;
        u8 const code = code_[at_++];
        if (depth_ < needed(code)) {
            return Err{AgentError::StackUnderflow};
        }
        u64 value = 0;
        switch (code) {
        case op::kEnd: return top();
        case op::kConst8:
        case op::kConst16:
        case op::kConst32:
        case op::kConst64:
            if (!operand(1u << (code - op::kConst8), value)) return Err{AgentError::Truncated};
            if (!push(value)) return Err{AgentError::StackOverflow};
            break;
        case op::kReg: {
            if (!operand(2, value)) return Err{AgentError::Truncated};
            u16 const number = static_cast<u16>(value);
            if (!context_.read_register(number, value)) return Err{AgentError::NoRegister};
            if (!push(value)) return Err{AgentError::StackOverflow};
            break;
        }
        case op::kExt:
        case op::kZeroExt:
            if (!operand(1, value)) return Err{AgentError::Truncated};
            if (value == 0 || value > 64) return Err{AgentError::BadCount};
            top() = extend(top(), static_cast<unsigned>(value), code == op::kExt);
            break;
        case op::kIfGoto:
        case op::kGoto:
            if (!operand(2, value)) return Err{AgentError::Truncated};
            if (code == op::kIfGoto) {
                u64 const condition = top();
                --depth_;
                if (condition == 0) break;
            }
            if (value <= start || value >= code_.size()) return Err{AgentError::BadJump};
            at_ = value;
            break;
        case op::kDup:
            if (!push(top())) return Err{AgentError::StackOverflow};
            break;
        case op::kPick:
            if (!operand(1, value)) return Err{AgentError::Truncated};
            if (value >= depth_) return Err{AgentError::StackUnderflow};
            if (!push(top(value))) return Err{AgentError::StackOverflow};
            break;
        default: HV_TRY(simple(code));
        }
    }
    return Err{AgentError::Truncated};
}
} // namespace

Result<u64, AgentError> evaluate(std::span<u8 const> code, AgentContext& context) {
    if (code.size() > kMaxExpressionBytes) {
        return Err{AgentError::TooLong};
    }
    return Machine{code, context}.run();
}
} // namespace hv::debug
