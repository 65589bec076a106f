// SPDX-License-Identifier: Apache-2.0
// Readable names for traces: the scopes and the name of a C++ function, without its parameters.
#pragma once
#include "hv/base/format.hpp"

namespace hv::init {
/// Appends `hv::init::Console<...>::poll` for `_ZN2hv4init7ConsoleI…E4pollEv`; a name that is not C++, or too
/// intricate, as it is. Template arguments show as `<...>`. Source: Itanium C++ ABI, "External Names (a.k.a.
/// Mangling)".
void demangle(TextBuffer& out, std::string_view mangled);
} // namespace hv::init
