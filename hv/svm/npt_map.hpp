// SPDX-License-Identifier: Apache-2.0
// The second-level table that every map of this backend is, so that the exit path can ask it without a
// virtual call. Instantiated in hv/mm.
#pragma once
#include "hv/mm/nested_table.hpp"

namespace hv::svm {
using NptMap = mm::NestedTable<>;
} // namespace hv::svm
