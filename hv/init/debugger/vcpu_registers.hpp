// SPDX-License-Identifier: Apache-2.0
// A stopped virtual processor's registers by the debugger's names.
#pragma once
#include "hv/gdb/target.hpp"
#include "hv/partition/virtual_processor.hpp"

namespace hv::init {
/// On the CPU where it is loaded. @param to exactly the register's bytes (gdb/target.hpp)
/// @return false where there is no such register
bool read_register(partition::VirtualProcessor& vp, gdb::RegisterId id, std::span<u8> to);
/// @return false for a value that the guest itself could not load, and for selectors outside real mode: their
/// hidden parts would no longer fit
bool write_register(partition::VirtualProcessor& vp, gdb::RegisterId id, std::span<u8 const> from);
/// Those of at most 64 bits, as a number.
bool read_integer(partition::VirtualProcessor& vp, gdb::RegisterId id, u64& value);
} // namespace hv::init
