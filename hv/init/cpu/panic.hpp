// SPDX-License-Identifier: Apache-2.0
// The end by our own mistake: says what, where and how we got there, stops every CPU and ends the machine.
// Also implements hv::panic().
#pragma once
#include "hv/init/cpu/trap_frame.hpp"
#include <span>

namespace hv::init {
/// Gives traces names. @p elf_file: hv.elf as the loader read it; must stay.
/// @return how many symbols there are.
usize use_symbols(std::span<u8 const> elf_file);

/// Memory outside the CPUs' own stacks that a trace may read: the loader's stack, while it is in use.
void allow_trace_through(u64 bottom, u64 top);

/// An exception that nothing handles.
[[noreturn]] void crash(TrapFrame const& frame);

/// The NMI handler asks first: on a CPU that another one's panic has stopped this does not return.
void park_if_panicking();
} // namespace hv::init
