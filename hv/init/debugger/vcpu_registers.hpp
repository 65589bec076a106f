// SPDX-License-Identifier: Apache-2.0
// A stopped virtual processor's registers by the debugger's names.
#pragma once
#include "hv/gdb/target.hpp"
#include "hv/partition/guest.hpp"

namespace hv::init {
/// On the CPU where it is loaded. @param to exactly the register's bytes (gdb/target.hpp)
/// @return false where there is no such register
bool read_register(partition::VirtualProcessor& vp, gdb::RegisterId id, std::span<u8> to);
/// A selector brings its hidden part along, from the guest's own tables; the base may be written by itself.
/// @return false for a value that the guest itself could not load
bool write_register(partition::Guest& guest, gdb::RegisterId id, std::span<u8 const> from);
/// Those of at most 64 bits, as a number.
bool read_integer(partition::VirtualProcessor& vp, gdb::RegisterId id, u64& value);
} // namespace hv::init
