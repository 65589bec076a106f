// SPDX-License-Identifier: Apache-2.0
// A condition names registers by the numbers of the description gdb was served; the target knows them by what
// they are.
#pragma once
#include "hv/gdb/register_layout.hpp"
#include <span>

namespace hv::gdb {
/// Replaces the operand of each `reg` of an agent expression by its RegisterId.
/// @return false when it has an instruction that conditions do not use, a register that does not exist or is
/// wider than a stack entry, or ends in mid-instruction; @p expression is then spoilt.
/// Source: GDB manual, "Bytecode Descriptions".
bool name_registers(Layout layout, std::span<u8> expression);
} // namespace hv::gdb
