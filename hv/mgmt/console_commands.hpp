// SPDX-License-Identifier: Apache-2.0
// The operator's console on COM1: one command a line. Pure: text in, lines out.
#pragma once
#include "hv/mgmt/operator.hpp"

namespace hv::mgmt {
/// Carries out one line. Unknown commands and wrong arguments answer with what was wanted.
void run_command(std::string_view line, Operator&, Answer&);
} // namespace hv::mgmt
