// SPDX-License-Identifier: Apache-2.0
// The one place where this backend meets hv/mm's nested tables: EptFormat's counterpart is NptFormat.
#pragma once
#include "hv/mm/nested_table.hpp"

namespace hv::svm {
using NptMap = mm::NestedTable<mm::NptFormat>;

/// An empty NPT, or null when there are no frames for it.
NestedMap* create_npt(HostFrames& frames);
void destroy_npt(NestedMap* map, HostFrames& frames);
} // namespace hv::svm
