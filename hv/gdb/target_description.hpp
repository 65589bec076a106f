// SPDX-License-Identifier: Apache-2.0
// The target description in gdb's XML, made from the register table.
#pragma once
#include "hv/gdb/document_window.hpp"
#include "hv/gdb/register_layout.hpp"

namespace hv::gdb {
/// Writes the description of @p layout. Source: GDB manual, "Target Descriptions".
void describe(Layout layout, DocumentWindow& out);
} // namespace hv::gdb
