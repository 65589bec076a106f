// SPDX-License-Identifier: Apache-2.0
// Breaks the hypervisor on purpose, so that one can see the protection catch it and the trace name the place.
#pragma once
#include <string_view>

namespace hv::init {
inline constexpr std::string_view kCrashKinds =
    "assert, fault, overflow, write-code, write-code-alias, run-data";

/// Does what @p kind, one of kCrashKinds, says; does not return then. Returns for any other.
void provoke(std::string_view kind);
} // namespace hv::init
