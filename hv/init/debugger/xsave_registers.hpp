// SPDX-License-Identifier: Apache-2.0
// x87, SSE and AVX registers in an XSAVE image, by the debugger's names. Pure.
#pragma once
#include "hv/gdb/target.hpp"

namespace hv::init {
/// @param image what XSAVE64 or FXSAVE64 stored: 512 bytes at least. AVX needs the standard form's 832.
/// @param to exactly the register's bytes
/// @return false if @p id is none of these registers, or the image does not hold it
/// Source: Intel SDM vol 1, "x87 State", "SSE State", "AVX State", "XSAVE Header"; "x87 FPU Tag Word".
bool read_extended(std::span<u8 const> image, gdb::RegisterId id, std::span<u8> to);
/// The 64-bit image has no selectors: Fiseg and Foseg are the upper halves of its 64-bit pointers.
/// Writes it and marks its component as in use. @return false also for a value that is too wide
bool write_extended(std::span<u8> image, gdb::RegisterId id, std::span<u8 const> from);
} // namespace hv::init
