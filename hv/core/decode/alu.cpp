// SPDX-License-Identifier: Apache-2.0
#include "hv/core/decode/alu.hpp"

namespace hv::decode {
namespace {
constexpr u64 kCf = 1u << 0, kPf = 1u << 2, kAf = 1u << 4, kZf = 1u << 6, kSf = 1u << 7, kOf = 1u << 11;
constexpr u64 kAll = kCf | kPf | kAf | kZf | kSf | kOf;

u64 sign_bit(u8 size_bytes) {
    return 1ull << (8 * size_bytes - 1);
}

u64 result_flags(u64 value, u8 size_bytes) {
    u64 flags = value == 0 ? kZf : 0;
    flags |= (value & sign_bit(size_bytes)) != 0 ? kSf : 0;
    flags |= (__builtin_popcountll(value & 0xff) & 1) == 0 ? kPf : 0;
    return flags;
}

AluResult finish(u64 value, u64 flags, u64 affected, u64 rflags) {
    return {value, (rflags & ~affected) | (flags & affected)};
}

AluResult add(u8 size, u64 left, u64 right, u64 carry, u64 affected, u64 rflags) {
    u64 const mask = size_mask(size);
    u64 const value = (left + right + carry) & mask;
    // The carry out of each bit, by the full adder's majority.
    u64 const carries = (left & right) | ((left | right) & ~value);
    u64 const overflow = (left ^ value) & (right ^ value);
    u64 flags = result_flags(value, size);
    flags |= (carries & sign_bit(size)) != 0 ? kCf : 0;
    flags |= (carries & 8) != 0 ? kAf : 0;
    flags |= (overflow & sign_bit(size)) != 0 ? kOf : 0;
    return finish(value, flags, affected, rflags);
}

AluResult subtract(u8 size, u64 left, u64 right, u64 borrow, u64 affected, u64 rflags) {
    u64 const mask = size_mask(size);
    u64 const value = (left - right - borrow) & mask;
    u64 const borrows = (~left & right) | ((~left | right) & value);
    u64 const overflow = (left ^ right) & (left ^ value);
    u64 flags = result_flags(value, size);
    flags |= (borrows & sign_bit(size)) != 0 ? kCf : 0;
    flags |= (borrows & 8) != 0 ? kAf : 0;
    flags |= (overflow & sign_bit(size)) != 0 ? kOf : 0;
    return finish(value, flags, affected, rflags);
}
} // namespace

AluResult alu(AluOp op, u8 size, u64 left, u64 right, u64 rflags) {
    u64 const mask = size_mask(size);
    left &= mask;
    u64 const operand = right & mask;
    u64 const carry = rflags & kCf;
    auto const logic = [&](u64 value) { return finish(value, result_flags(value, size), kAll, rflags); };
    auto const bit = [&](u64 value) {
        return finish(value & mask, (left >> right & 1) != 0 ? kCf : 0, kCf, rflags);
    };
    switch (op) {
    case AluOp::Add: return add(size, left, operand, 0, kAll, rflags);
    case AluOp::Adc: return add(size, left, operand, carry, kAll, rflags);
    case AluOp::Sub: return subtract(size, left, operand, 0, kAll, rflags);
    case AluOp::Sbb: return subtract(size, left, operand, carry, kAll, rflags);
    case AluOp::Inc: return add(size, left, 1, 0, kAll & ~kCf, rflags);
    case AluOp::Dec: return subtract(size, left, 1, 0, kAll & ~kCf, rflags);
    case AluOp::Neg: return subtract(size, 0, left, 0, kAll, rflags);
    case AluOp::Or: return logic(left | operand);
    case AluOp::And: return logic(left & operand);
    case AluOp::Xor: return logic(left ^ operand);
    case AluOp::Not: return {~left & mask, rflags};
    case AluOp::BitTest: return bit(left);
    case AluOp::BitSet: return bit(left | 1ull << right);
    case AluOp::BitReset: return bit(left & ~(1ull << right));
    case AluOp::BitComplement: return bit(left ^ 1ull << right);
    }
    return {left, rflags};
}
} // namespace hv::decode
