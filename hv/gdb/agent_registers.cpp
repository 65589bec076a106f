// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/agent_registers.hpp"

namespace hv::gdb {
namespace {
constexpr u8 kReg = 0x26;
constexpr u8 kRefused = 0xff;

/// Bytes of the operand, or kRefused: floating point, tracing, variables, printf.
constexpr u8 operand_bytes(u8 op) {
    switch (op) {
    case 0x16: // ext
    case 0x22: // const8
    case 0x2a: // zero_ext
    case 0x32: // pick
        return 1;
    case 0x20: // if_goto
    case 0x21: // goto
    case 0x23: // const16
    case kReg: return 2;
    case 0x24: return 4; // const32
    case 0x25: return 8; // const64
    default: break;
    }
    bool const plain = (op >= 0x02 && op <= 0x0b) || (op >= 0x0e && op <= 0x15) ||
                       (op >= 0x17 && op <= 0x1a) || (op >= 0x27 && op <= 0x29) || op == 0x2b || op == 0x33;
    return plain ? 0 : kRefused;
}
} // namespace

bool name_registers(Layout layout, std::span<u8> expression) {
    for (usize i = 0; i < expression.size();) {
        u8 const op = expression[i++];
        u8 const operand = operand_bytes(op);
        if (operand == kRefused || operand > expression.size() - i) return false;
        if (op == kReg) {
            RegisterCursor const r =
                find_register(layout, static_cast<u64>(expression[i] << 8 | expression[i + 1]));
            if (!r.valid() || r.wire_bytes() > 8) return false;
            expression[i] = 0;
            expression[i + 1] = static_cast<u8>(r.id());
        }
        i += operand;
    }
    return true;
}
} // namespace hv::gdb
